PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
OSDFACE_SHARED ?= ../shared
DETECTOR ?=
PHOTO ?= photos/astronaut.png
OUT ?= demo

export PYTHON TORCH TORCHVISION OSDFACE_SHARED

.PHONY: demo test lint clean

# Restore a real photo: PHOTO=mine.jpg for another one, DETECTOR=file for another detector than the best that is there.
demo: $(VENV)/ready
	$(VENV)/bin/osdface restore $(PHOTO) -o $(OUT) --color wavelet --report --force $(DETECTOR:%=--detector %)

test: $(VENV)/ready-dev
	$(VENV)/bin/python -m pytest

lint: $(VENV)/ready-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

$(VENV)/ready: pyproject.toml scripts/setup.sh scripts/torchvision_cpu.py
	scripts/setup.sh $(VENV)
	@touch $@

$(VENV)/ready-dev: $(VENV)/ready
	scripts/setup.sh $(VENV) dev,train
	@touch $@

clean:
	rm -rf $(VENV) demo *.egg-info

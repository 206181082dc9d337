PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
OSDFACE_SHARED ?= ../shared
DETECTOR ?= $(wildcard $(OSDFACE_SHARED)/data/weights/detection_mobilenet0.25_Final.pth)
PHOTO ?= photos/astronaut.png
OUT ?= demo

export PYTHON TORCH TORCHVISION OSDFACE_SHARED

.PHONY: demo test lint clean

# Restore a real photo. With a detector's weights (DETECTOR=file) its faces are found; without, they are read from the
# JSON beside the photo, which `osdface detect` wrote.
demo: $(VENV)/ready
	$(VENV)/bin/osdface restore $(PHOTO) -o $(OUT) --color wavelet --report --force \
		$(if $(DETECTOR),--detector $(DETECTOR),--faces $(basename $(PHOTO)).json)

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

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
DETECTOR ?=
PHOTO ?= photos/samples/osdface_portrait.jpg
OUT ?= demo

export VENV TORCH TORCHVISION

.PHONY: demo test lint clean

# Restore a blurred photo: PHOTO=mine.jpg for another one, DETECTOR=file for another detector than the best that is there.
demo:
	$(PYTHON) run.py demo $(PHOTO) -o $(OUT) $(DETECTOR:%=--detector %)

test lint:
	$(PYTHON) run.py $@

clean:
	rm -rf $(VENV) demo *.egg-info

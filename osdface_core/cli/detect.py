"""`osdface detect`: the faces of a photo as JSON. Also the options of every command that detects."""

import argparse
import logging
from pathlib import Path
from typing import Any

import torch

from ..detect import load_detector
from ..images import read_photo
from .outputs import refuse_to_overwrite, write_json

log = logging.getLogger("osdface")


def add_to(commands: Any) -> None:
    detect = commands.add_parser("detect", help="find the faces in a photo")
    detect.set_defaults(run=run)
    detect.add_argument("input", type=Path, metavar="IN")
    detect.add_argument("--json", required=True, type=Path, metavar="OUT", help="where to write the faces")
    add_detection(detect)
    detect.add_argument("--force", action="store_true", help="overwrite OUT if it exists")


def add_detection(command: argparse.ArgumentParser) -> None:
    command.add_argument("--detector", help="RetinaFace weights, or facexlib's name for them (default: facexlib's own)")
    command.add_argument("--threshold", type=float, default=0.8, help="lowest score of a face; lower finds more")
    command.add_argument("--device", default=best_device(), help="cpu, cuda, mps … (default: %(default)s)")


def best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def run(options: argparse.Namespace) -> int:
    refuse_to_overwrite([options.json], options.force)
    photo = read_photo(options.input)
    detector = load_detector(options.detector, device=options.device)
    faces = detector.detect(photo.pixels, threshold=options.threshold)
    write_json(options.json, faces.to_json())
    log.info("%s: %d face(s) -> %s", options.input, len(faces), options.json)
    return 0

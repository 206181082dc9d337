"""`osdface detect`: the faces of a photo as JSON. Also the options of every command that detects."""

import argparse
import logging
from pathlib import Path

from ..detection.detector import RetinaFace
from ..detection.load import load_detector
from ..devices import best_device
from ..faces import so_many
from ..files.outputs import named, refuse_to_overwrite, write_json
from ..files.photos import read_photo
from ..options import Detect, Load
from ..pipeline import find_faces
from .arguments import Commands, add_files, add_options, validate

log = logging.getLogger("osdface")


def add_to(commands: Commands) -> None:
    detect = commands.add_parser("detect", help="find the faces in a photo")
    detect.set_defaults(run=run, refuse=detect.error)
    detect.add_argument("input", type=Path, metavar="IN")
    detect.add_argument("--json", required=True, type=Path, metavar="OUT", help="where to write the faces")
    add_detection(detect)
    detect.add_argument("--force", action="store_true", help="overwrite OUT if it exists")


def add_detection(command: argparse.ArgumentParser) -> None:
    add_files(command, "detector")
    add_options(command, Detect)
    add_options(command, Load, "device", device=best_device())


def open_detector(options: argparse.Namespace) -> RetinaFace:
    """The detector that the options name. Raises a WeightsError."""
    detector = load_detector(options.detector, device=options.device)
    if detector.notice:
        log.warning("warning: %s", detector.notice)
    return detector


def run(options: argparse.Namespace) -> int:
    validate(options, Detect, Load)
    refuse_to_overwrite([options.json], options.force)
    photo = read_photo(options.input)
    detector = open_detector(options)
    with named(options.input):
        faces = find_faces(photo.pixels, detector, Detect.of(vars(options)))
    write_json(options.json, faces.to_json())
    log.info("%s: %s -> %s", options.input, so_many(len(faces)), options.json)
    return 0

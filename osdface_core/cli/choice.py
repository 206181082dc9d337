"""Which faces to restore: the options, and what they do."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePath

import torch
from torch import Tensor

from ..command import command
from ..detection.detector import RetinaFace
from ..devices import for_photos
from ..errors import ImageError
from ..faces import FaceCrops, Faces
from ..files.photos import read_photo
from ..geometry.align import align_faces
from ..options import Choose, Detect
from ..pipeline import detect_faces, within_limits
from ..recognition.embedders import load_embedder
from ..recognition.identity import identity_similarity
from ..selection.select import select_blurred, select_by_rule, select_faces, select_person
from ..selection.sharpness import sharpness
from .arguments import add_files, add_options, validate
from .detect import add_detection, open_detector


def add_choice(command: argparse.ArgumentParser) -> None:
    add_detection(command)
    command.add_argument(
        "--faces", type=Path, help="take the faces from `osdface detect`: a file, or a folder of NAME.json"
    )
    add_options(command, Choose)
    command.add_argument(
        "--person",
        type=Path,
        action="append",
        metavar="PHOTO",
        help="only the person in this photo; again for more photos, whose faces are averaged; needs --embedder",
    )
    add_files(command, "embedder")


def check_choice(options: argparse.Namespace) -> None:
    """End the command as wrong usage where options make no sense."""
    validate(options, Choose)
    if options.person is not None and options.embedder is None:
        options.refuse("--person needs --embedder, which tells people apart")
    if options.select is not None:
        try:
            select_faces(Faces((), 0, 1, 1), options.select)
        except ImageError as error:
            options.refuse(f"--select: {error}")


class Choice:
    """The faces that the options choose, with the networks that takes."""

    def __init__(self, options: argparse.Namespace, crop_size: int):
        """Raises an OSDFaceError where weights or the person's face are missing."""
        self.options = options
        self.limits = Detect.of(vars(options))
        self.detector = self.embedder = self.person = None
        if options.faces is None or options.person is not None:
            self.detector = open_detector(options)
        if options.embedder is not None:
            self.embedder = load_embedder(options.embedder, device=options.device)
        if options.person is not None and self.detector is not None:
            self.person = person_in(options.person, self.detector, crop_size, options.device)

    def found(self, pixels: Tensor) -> Faces:
        """The faces in an image that lie within the limits."""
        return within_limits(self.detected(pixels), self.limits)

    def detected(self, pixels: Tensor) -> Faces:
        """The faces in an image, of whatever size and number."""
        assert self.detector is not None  # there is one unless the faces come from a file
        return detect_faces(pixels, self.detector, self.limits)

    def chosen(self, faces: Faces) -> Faces:
        """The faces that are selected by numbers or by a rule."""
        options = self.options
        return faces if options.select is None else select_faces(faces, options.select, options.count)[0]

    @property
    def looks(self) -> bool:
        """Whether faces are chosen by what they look like."""
        return self.person is not None or self.options.skip_sharp is not None

    def crops(self, crops: FaceCrops) -> FaceCrops:
        """Those crops that show the person who is wanted, and are not sharp already."""
        if self.person is not None and self.embedder is not None:
            similarity = identity_similarity(self.embedder, crops, self.person)
            crops, _ = select_person(crops, similarity, self.options.likeness)
        if self.options.skip_sharp is not None:
            crops, _ = select_blurred(crops, sharpness(crops), self.options.skip_sharp)
        return crops


def person_in(photos: Sequence[Path], detector: RetinaFace, crop_size: int, device: str) -> FaceCrops:
    """The largest face of every photo, all of one person. Raises ImageError for a photo without a face."""
    found: list[FaceCrops] = []
    for photo in photos:
        pixels = read_photo(photo).pixels.to(for_photos(device))
        face, _ = select_by_rule(detector.detect(pixels), "largest")
        found.append(align_faces(pixels, face, crop_size))
        if not len(found[-1]):
            raise ImageError(f"{photo}: there is no face in it. Take a photo of the person's face.")
    faces = replace(found[0].faces, faces=tuple(face for crops in found for face in crops.faces))
    return FaceCrops(torch.cat([crops.images for crops in found]), faces, torch.cat([crops.to_crop for crops in found]))


def read_faces(source: Path, name: str) -> Faces:
    """The faces that `osdface detect` wrote for the photo of this name: in a file, or in NAME.json in a folder."""
    path = source / PurePath(name).with_suffix(".json") if source.is_dir() else source
    try:
        return Faces.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        advice = f"Write them with `{command()} detect`."
        raise ImageError(f"{path}: the faces cannot be read ({error}). {advice}") from error

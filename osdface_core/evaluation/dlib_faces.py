"""What dlib makes of restored faces: whether it finds them, their 68 landmarks, and who they are.

None of dlib's networks takes part in this project's training. The package face-recognition-models has their files; the
descriptor and the five landmarks are in the public domain, but the 68 landmarks were trained on iBUG 300-W, whose terms
exclude commercial products: they are for measuring, and nothing that is shipped may depend on them.
"""

from functools import cache, cached_property
from threading import Lock
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..libraries import folder_of, library

BOX = (0.192, 0.297, 0.784, 0.889)
"""Where dlib's detector sees the face in an aligned crop: left, top, right, bottom (it varies by 0.03)."""

DETECTION_SIZE = 256
"""The side, in pixels, of what faces are looked for in: there one fills half of it, whatever the crop's own size."""

OVERLAP = 0.4
"""Intersection over union that what was found has to have with BOX."""


class DlibFaces:
    """dlib's detector, landmarks and descriptor. Raises MissingLibraryError where dlib or its files are not there.

    Its networks keep what they compute in themselves, so threads take turns.
    """

    def __init__(self) -> None:
        self.dlib = library("dlib")
        self.folder = folder_of("face_recognition_models") / "models"
        self.lock = Lock()
        self.detect = self.dlib.get_frontal_face_detector()

    @cached_property
    def five(self) -> Any:
        return self.dlib.shape_predictor(str(self.folder / "shape_predictor_5_face_landmarks.dat"))

    @cached_property
    def sixty_eight(self) -> Any:
        return self.dlib.shape_predictor(str(self.folder / "shape_predictor_68_face_landmarks.dat"))

    @cached_property
    def descriptor(self) -> Any:
        return self.dlib.face_recognition_model_v1(str(self.folder / "dlib_face_recognition_resnet_model_v1.dat"))

    def finds(self, images: Tensor) -> Tensor:
        """Of aligned crops [N,3,S,S], 0..1: [N], 1 where the detector sees the face where it has to be, else 0."""
        small = F.interpolate(images, (DETECTION_SIZE, DETECTION_SIZE), mode="area")
        return torch.tensor([float(self.finds_one(image)) for image in as_levels(small)])

    def finds_one(self, image: np.ndarray) -> bool:
        with self.lock:
            boxes = [(box.left(), box.top(), box.right(), box.bottom()) for box in self.detect(image, 0)]
        return any(overlap(np.array(box) / len(image), np.array(BOX)) > OVERLAP for box in boxes)

    def landmarks(self, images: Tensor) -> Tensor:
        """Of aligned crops [N,3,S,S], 0..1: the 68 landmarks [N,68,2], in pixels of a 512 px crop."""
        box = self.box(images.shape[-1])
        with self.lock:
            shapes = [self.sixty_eight(image, box) for image in as_levels(images)]
        points = np.array([[(point.x, point.y) for point in shape.parts()] for shape in shapes], np.float32)
        return torch.from_numpy(points) * 512 / images.shape[-1]

    def embed(self, images: Tensor) -> Tensor:
        """Of aligned crops [N,3,S,S], 0..1: descriptors [N,128]. Above 0.6 apart, they are two people to dlib."""
        box = self.box(images.shape[-1])
        with self.lock:
            faces = [self.dlib.get_face_chip(image, self.five(image, box), 150, 0.25) for image in as_levels(images)]
            return torch.from_numpy(np.array(self.descriptor.compute_face_descriptor(faces), np.float32))

    def box(self, size: int) -> Any:
        """Where the face is in a crop. Landmarks start from there, found or not, so that no face is left out."""
        return self.dlib.rectangle(*(round(side * size) for side in BOX))


@cache
def dlib_faces() -> DlibFaces:
    """dlib's networks, read once."""
    return DlibFaces()


def as_levels(images: Tensor) -> list[np.ndarray]:
    """[N,3,S,S], 0..1 -> N arrays [S,S,3], uint8."""
    return list((images.permute(0, 2, 3, 1) * 255).round().clamp(0, 255).byte().cpu().contiguous().numpy())


def overlap(box: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two boxes: left, top, right, bottom."""
    shared = (np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])).clip(0).prod()
    return float(shared / ((box[2:] - box[:2]).prod() + (other[2:] - other[:2]).prod() - shared))

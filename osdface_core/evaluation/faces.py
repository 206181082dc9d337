"""Whether a restored face is still that face: identity and landmarks. Images are aligned crops [N,3,S,S], 0..1."""

import torch
from torch import Tensor

from ..detection.detector import RetinaFace

SIDE = 256
"""At which the detector looks at crops, pixels: at this size their landmarks of blurred faces tremble least."""


def degrees(similarity: Tensor) -> Tensor:
    """The same as an angle: the paper's Deg. where the embedder is its ArcFace."""
    return similarity.clamp(-1, 1).acos().rad2deg()


def largest_landmarks(detector: RetinaFace, images: Tensor) -> Tensor:
    """[N,5,2], in pixels of a 512 px crop; NaN where there is no face.

    The paper's LMD is over 68 landmarks of another detector, so its figures are not to be compared with these.
    """
    rows = torch.full((len(images), 5, 2), float("nan"))
    faces = detector.detect(images, threshold=0.5, short_side=(SIDE, SIDE))
    for face in sorted(faces, key=lambda face: face.box[2] - face.box[0]):
        rows[face.frame] = torch.tensor(face.landmarks)
    return rows * 512 / images.shape[-1]

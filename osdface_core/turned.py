"""Whether faces are the way up that their landmarks say: RetinaFace sees upright faces in photos that are turned."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .faces import Face

TURNED = "it is upside down or on its side (detect faces in any rotation)"

SIDE = 160
"""Pixels that a face with its surroundings is looked at in: a face is half as long."""

Glance = Callable[[Tensor], list[list[Face]]]
"""Finds the faces in every image of [N,3,S,S], in its pixels."""


def is_upright(face: Face, turns: int = 0) -> bool:
    """Whether the mouth is below the eyes, rather than beside or above them, once turned by quarters to the left."""
    left_eye, right_eye, _, left_mouth, right_mouth = face.landmarks
    across, down = (left_mouth[axis] + right_mouth[axis] - left_eye[axis] - right_eye[axis] for axis in (0, 1))
    for _ in range(turns):
        across, down = down, -across
    return down > abs(across)


def turned_faces(faces: Sequence[Face], image: Tensor, glance: Glance) -> list[Face]:
    """Those of the faces that their surroundings in `image` [3,H,W], seen in all four positions, show best in another.

    Where nothing is seen in any position, as with faces in profile, the landmarks are believed.
    """
    if not faces:
        return []
    views = torch.stack([surroundings(face, image) for face in faces])
    seen = [glance(torch.rot90(views, turns, (2, 3))) for turns in range(4)]
    turned = []
    for face, positions in zip(faces, zip(*seen, strict=True), strict=True):
        scores = [
            max((s.score for s in found if is_upright(s) and s.size > SIDE / 4), default=0.0) for found in positions
        ]
        best = max(range(4), key=lambda turns: scores[turns])
        if scores[best] > scores[0] and not is_upright(face, best):
            turned.append(face)
    return turned


def surroundings(face: Face, image: Tensor) -> Tensor:
    """A face and as much about it on every side, [3,SIDE,SIDE]; grey where the image ends."""
    view = image.new_full((3, SIDE, SIDE), 0.5)
    side = 2 * max(face.size, 2)
    left, top, right, bottom = face.box
    columns, across = seen((left + right - side) / 2, side, image.shape[2])
    rows, down = seen((top + bottom - side) / 2, side, image.shape[1])
    part = image[None, :, rows, columns]
    if part.numel() and view[:, down, across].numel():
        size = view[:, down, across].shape[1:]
        view[:, down, across] = F.interpolate(part, size, mode="bilinear", antialias=True)[0]
    return view


def seen(start: float, side: float, length: int) -> tuple[slice, slice]:
    """On one axis: the pixels of an image of `length` that a view of `side` from `start` on shows, and where in it."""
    pixels = slice(max(int(start), 0), max(min(int(start + side), length), 0))
    first, last = (round((edge - start) * SIDE / side) for edge in (pixels.start, pixels.stop))
    return pixels, slice(max(first, 0), max(last, 0))

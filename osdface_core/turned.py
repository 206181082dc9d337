"""Whether faces are the way up that their landmarks say: RetinaFace sees upright faces in photos that are turned."""

from collections.abc import Callable

import torch
from torch import Tensor

from .faces import Face

TURNED = "it is upside down or on its side (detect faces in any rotation)"

Look = Callable[[Tensor], list[Face]]
"""Finds faces in an image [3,H,W], in its pixels."""


def is_upright(face: Face, turns: int = 0) -> bool:
    """Whether the mouth is below the eyes, rather than beside or above them, once turned by quarters to the left."""
    left_eye, right_eye, _, left_mouth, right_mouth = face.landmarks
    across, down = (left_mouth[axis] + right_mouth[axis] - left_eye[axis] - right_eye[axis] for axis in (0, 1))
    for _ in range(turns):
        across, down = down, -across
    return down > abs(across)


def is_turned(face: Face, image: Tensor, look: Look) -> bool:
    """Whether the face's surroundings in `image` [3,H,W], seen in all four positions, show it best in another one.

    Where nothing is seen in any position, as with faces in profile, the landmarks are believed.
    """
    left, top, right, bottom = face.box
    x, y, reach = (left + right) / 2, (top + bottom) / 2, max(face.size, 2)
    around = image[:, int(max(y - reach, 0)) : int(y + reach), int(max(x - reach, 0)) : int(x + reach)]
    if not around.numel():
        return False
    scores = []
    for turns in range(4):
        seen = look(torch.rot90(around, turns, (1, 2)))
        scores.append(max((s.score for s in seen if is_upright(s) and s.size > face.size / 2), default=0.0))
    best = max(range(4), key=lambda turns: scores[turns])
    return scores[best] > scores[0] and not is_upright(face, best)

"""Whether faces are the way up that their landmarks say: RetinaFace sees upright faces in photos that are turned."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import Tensor

from ..faces import Face
from .views import View, view_of

TURNED = "it is upside down or on its side (detect faces in any rotation)"

SIDE = 160
"""Pixels that a face with its surroundings is looked at in: a face is half as long."""

SURE = 0.3
"""The lowest score to take notice of at that size."""

DetectViews = Callable[[Tensor, Sequence[View], float], list[list[Face]]]
"""Finds the faces of at least so high a score in views of [B,3,H,W], in the views' pixels."""


def is_upright(face: Face, turns: int = 0) -> bool:
    """Whether the mouth is below the eyes, rather than beside or above them, once turned by quarters to the left."""
    left_eye, right_eye, _, left_mouth, right_mouth = face.landmarks
    across, down = (left_mouth[axis] + right_mouth[axis] - left_eye[axis] - right_eye[axis] for axis in (0, 1))
    for _ in range(turns):
        across, down = down, -across
    return down > abs(across)


def turned_faces(faces: Sequence[Face], images: Tensor, detect_views: DetectViews) -> list[Face]:
    """Those of the faces that their surroundings in `images` [B,3,H,W], seen in four positions, show best in another.

    Where nothing is seen in any position, as with faces in profile, the landmarks are believed.
    """
    views = [surroundings(face, images) for face in faces]
    seen = detect_views(images, [replace(view, turns=turns) for turns in range(4) for view in views], SURE)
    turned = []
    for number, face in enumerate(faces):
        scores = [
            max((s.score for s in found if is_upright(s) and s.size > SIDE / 4), default=0.0)
            for found in seen[number :: len(faces)]
        ]
        best = max(range(4), key=lambda turns: scores[turns])
        if scores[best] > scores[0] and not is_upright(face, best):
            turned.append(face)
    return turned


def surroundings(face: Face, images: Tensor) -> View:
    """A face and as much about it on every side; grey where the image ends."""
    side = 2 * max(face.size, 2)
    left, top, right, bottom = face.box
    x, y = (left + right - side) / 2, (top + bottom - side) / 2
    height, width = images.shape[2:]
    return view_of(face.frame, (x, y, x + side, y + side), (0, 0, width, height), (SIDE, SIDE))

"""Faces from boxes that something else found, trusted to hold an upright face each."""

from collections.abc import Sequence

import numpy as np

from ..errors import ImageError
from ..faces import MOST_FACES, Box, Face, Faces
from ..geometry.align import FFHQ_TEMPLATE_512

CROP_TO_BOX, BOX_BELOW_CENTRE = 1.41, 0.05
"""Median proportions of RetinaFace's boxes on photographs: a crop's side by its box's longer side, and how far below
the crop's centre its box has its own, as a share of the crop's side."""


def faces_of_boxes(boxes: Sequence[Sequence[Box]], height: int, width: int) -> Faces:
    """An upright face for each of the boxes of every frame, with score 0, numbered in the order they come in.

    boxes: left, top, right, bottom in pixels of the images, which are `height` by `width`. Sides further off than an
        image's length count as no further. Raises ImageError for a box that does not lie in the image, and for
        more than 1000 of them in one image.
    """
    faces = []
    for frame, own in enumerate(boxes):
        if len(own) > MOST_FACES:
            raise ImageError(f"There are more than {MOST_FACES} boxes for frame {frame}. Leave some out.")
        for index, (left, top, right, bottom) in enumerate(own):
            if not (max(left, 0) < min(right, width) and max(top, 0) < min(bottom, height)):  # NaN does not, either
                raise ImageError(f"Box {index} of frame {frame} does not lie in the image ({width}x{height}).")
            across, down = (
                [float(min(max(side, -length), 2 * length)) for side in sides]
                for sides, length in (((left, right), width), ((top, bottom), height))
            )
            box = (across[0], down[0], across[1], down[1])
            faces.append(Face(frame, index, box, 0.0, upright_landmarks(box)))
    return Faces(tuple(faces), len(boxes), height, width)


def upright_landmarks(box: Box) -> tuple[tuple[float, float], ...]:
    """Those of a face without a tilt whose box this is, in the proportions that RetinaFace's boxes have to crops."""
    side = CROP_TO_BOX * max(box[2] - box[0], box[3] - box[1])
    centre = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2 - BOX_BELOW_CENTRE * side])
    landmarks = centre + (FFHQ_TEMPLATE_512 - 255.5) / 512 * side
    return tuple((float(x), float(y)) for x, y in landmarks)

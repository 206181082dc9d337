"""Faces drawn on their photo with their numbers, to choose from."""

from math import isnan

import cv2
import numpy as np
import torch
from torch import Tensor

from .faces import Faces, check_image

INK, EDGE = 2, 1
FAR = 16384
"""Pixels from the corner that nothing is drawn beyond."""
COLOURS = torch.tensor([[0.0, 0.0, 0.0], [0.1, 1.0, 0.2]])
"""Of the edge around a number, and of the ink."""


def draw_numbers(image: Tensor, faces: Faces) -> Tensor:
    """A copy of `image` [B,3,H,W], 0..1, with a box around every face, its number above and dots on its landmarks."""
    check_image(image)
    result = image.clone()
    for number in range(len(image)):
        layer = torch.from_numpy(ink(faces.keep(face for face in faces if face.frame == number))).to(image.device)
        for value, colour in ((EDGE, COLOURS[0]), (INK, COLOURS[1])):
            result[number, :, layer == value] = colour.to(image)[:, None]
    return result


def ink(faces: Faces) -> np.ndarray:
    """Where there is ink, edge or nothing on a frame: [H,W] uint8."""
    layer = np.zeros((faces.height, faces.width), np.uint8)
    for face in faces:
        if any(isnan(value) for value in face.box):
            continue
        thickness = round(min(max(1, face.width / 25), FAR / 25))
        left, top, right, bottom = (round(min(max(value, -FAR), FAR)) for value in face.box)
        cv2.rectangle(layer, (left, top), (right, bottom), INK, thickness)
        for x, y in face.landmarks:
            if -FAR < x < FAR and -FAR < y < FAR:
                cv2.circle(layer, (round(x), round(y)), thickness // 2, INK, -1)
        size = min(max(0.5, face.width / 40), FAR / 40)
        (_, height), _ = cv2.getTextSize(str(face.index), cv2.FONT_HERSHEY_SIMPLEX, size, thickness + 1)
        foot = (left, max(top - 2 * thickness, height + thickness))
        for value, width in ((EDGE, 3 * thickness + 4), (INK, thickness + 1)):
            cv2.putText(layer, str(face.index), foot, cv2.FONT_HERSHEY_SIMPLEX, size, value, width)
    return layer

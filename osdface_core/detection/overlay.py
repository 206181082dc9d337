"""Faces drawn on their photo with their numbers, to choose from."""

from math import isnan

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..faces import Faces, check_faces

INK, EDGE = 2, 1
FAR = 16384
"""Pixels from the corner that nothing is drawn beyond."""
COLOURS = torch.tensor([[0.0, 0.0, 0.0], [0.1, 1.0, 0.2]])
"""Of the edge around a number, and of the ink."""


def draw_numbers(image: Tensor, faces: Faces) -> Tensor:
    """A copy of `image` [B,3,H,W], 0..1, with a box around every face, its number above and dots on its landmarks.

    Raises ImageError for faces of another image.
    """
    check_faces(image, faces)
    result = image.clone()
    for number in range(len(image)):
        layer = torch.from_numpy(ink(faces.keep(face for face in faces if face.frame == number))).to(image.device)
        for value, colour in ((EDGE, COLOURS[0]), (INK, COLOURS[1])):
            result[number, :, layer == value] = colour.to(image)[:, None]
    return result


def ink(faces: Faces) -> np.ndarray:
    """Where there is ink, edge or nothing on a frame: [H,W] uint8."""
    layer = Image.new("L", (faces.width, faces.height))
    draw = ImageDraw.Draw(layer)
    draw.fontmode = "1"  # a pixel is ink or it is not
    for face in faces:
        if any(isnan(value) for value in face.box):
            continue
        thickness = round(min(max(1, face.width / 25), FAR / 25))
        left, top, right, bottom = (round(min(max(value, -FAR), FAR)) for value in face.box)
        left, right, top, bottom = *sorted((left, right)), *sorted((top, bottom))
        grown = thickness // 2
        draw.rectangle((left - grown, top - grown, right + grown, bottom + grown), outline=INK, width=thickness)
        for x, y in face.landmarks:
            if -FAR < x < FAR and -FAR < y < FAR:
                x, y, dot = round(x), round(y), max(grown, 1)
                draw.ellipse((x - dot, y - dot, x + dot, y + dot), fill=INK)
        font = ImageFont.load_default(min(max(16, 0.75 * face.width), FAR / 16))
        _, high, _, _ = font.getbbox("0", anchor="ls")
        foot = (left, max(top - 2 * thickness, thickness - high))
        for value, width in ((EDGE, thickness + 2), (INK, thickness // 3)):
            draw.text(foot, str(face.index), value, font, anchor="ls", stroke_width=width)
    return np.array(layer)

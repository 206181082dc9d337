"""Paste masks, in the space of the aligned crop: 1 where the restored face is taken, 0 where the photo stays."""

from math import erf, sqrt

import torch
from torch import Tensor

FEATHER = 0.1
"""Width of the soft border as a share of the crop's side: what facexlib's square mask comes to."""


def square_mask(size: int, feather: float = FEATHER) -> Tensor:
    """A square [S,S] that fades to exactly 0 at the crop's outermost pixels.

    The same soft square that facexlib makes by eroding and blurring in the photo (erosion by 1/20 of the side, Gaussian
    of 0.3 times that), written down in closed form in the crop, where it turns with the face, costs the same at any
    scale, and moves smoothly when the face does. At feather 0 only the outermost pixels are left out.
    """
    distance = torch.arange(size, dtype=torch.float64).minimum(torch.arange(size - 1, -1, -1, dtype=torch.float64))
    position = (distance / max(feather * (size - 1), 1)).clamp(max=1)
    sigma = 0.15 * sqrt(2)
    fade = (1 + torch.erf((position - 0.5) / sigma) / erf(0.5 / sigma)) / 2
    fade = fade.clamp(0, 1).float()
    return fade[:, None] * fade[None, :]

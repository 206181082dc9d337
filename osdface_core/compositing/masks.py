"""Paste masks, in the space of the aligned crop: 1 where the restored face is taken, 0 where the photo stays."""

from collections.abc import Callable
from math import erf, sqrt

import torch
import torch.nn.functional as F
from torch import Tensor

from ..options import Paste, Shape

HEAD = 0.8
"""Width of the ellipse as a share of its height, which is the crop's side: an FFHQ crop's head with its hair."""


def shape_mask(size: int, shape: Shape = Paste.shape, feather: float = Paste.feather) -> Tensor:
    """The mask [S,S] of a whole crop. Raises OptionError for a shape there is not, or a feather not of 0..0.5."""
    Paste(shape=shape, feather=feather).validate()
    return SHAPES[shape](size, feather)


def square_mask(size: int, feather: float = Paste.feather) -> Tensor:
    """A square [S,S] that fades to exactly 0 at the crop's outermost pixels.

    The same soft square that facexlib makes by eroding and blurring in the photo (erosion by 1/20 of the side, Gaussian
    of 0.3 times that), written down in closed form in the crop, where it turns with the face, costs the same at any
    scale, and moves smoothly when the face does. At feather 0 only the outermost pixels are left out.
    """
    distance = torch.arange(size, dtype=torch.float64).minimum(torch.arange(size - 1, -1, -1, dtype=torch.float64))
    side = fade(distance / max(feather * (size - 1), 1))
    return side[:, None] * side[None, :]


def ellipse_mask(size: int, feather: float = Paste.feather) -> Tensor:
    """An upright ellipse [S,S] about the head, as high as the crop, that fades to 0 at its edge as the square does."""
    place = torch.linspace(-1, 1, size, dtype=torch.float64)
    radius = torch.hypot(place[None, :] / HEAD, place[:, None])
    distance = (1 - radius) * (size - 1) / 2
    return fade(distance / max(feather * (size - 1), 1))


SHAPES: dict[Shape, Callable[[int, float], Tensor]] = {"square": square_mask, "ellipse": ellipse_mask}


def fade(position: Tensor) -> Tensor:
    """From 0 at the edge (0) to 1 where the border ends (1): a blurred step."""
    sigma = 0.15 * sqrt(2)
    softened = (1 + torch.erf((position.clamp(0, 1) - 0.5) / sigma) / erf(0.5 / sigma)) / 2
    return softened.clamp(0, 1).float()


def fade_inwards(masks: Tensor, feather: float = Paste.feather) -> Tensor:
    """Masks [N,H,W], 0..1, with a soft border inside: it begins at their edge, and is `feather` of the side wide.

    Blurred in a small copy, so that it costs the same at any size and feather.
    """
    cells = 128
    width = 2 * round(feather * cells / 2) + 1
    small = F.interpolate(masks[:, None], (cells, cells), mode="area")
    for _ in range(2):
        for kernel in ((width, 1), (1, width)):
            padding = (kernel[0] // 2, kernel[1] // 2)
            small = F.avg_pool2d(small, kernel, stride=1, padding=padding, count_include_pad=False)
    soft = (2 * small - 1).clamp(0, 1)  # half of the blur lies outside the edge
    return F.interpolate(soft, masks.shape[1:], mode="bilinear")[:, 0]

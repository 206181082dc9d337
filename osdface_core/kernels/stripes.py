"""3x3 convolutions of images too large to be done at once: some rows after the others, with the result of the whole.

A decoder at full resolution holds two images of features so, where the whole takes three (`benchmarks/memory.py`).
What is between a norm and a convolution is never held whole, and a block's second convolution writes over its input.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .group_norm import Norm

PIXELS = 512 * 512
"""How many of every image are computed at once."""


def convolve_in_stripes(
    x: Tensor, weight: Tensor, bias: Tensor | None, *, scale: int = 1, norm: Norm | None = None, over: bool
) -> Tensor:
    """conv2d(x, weight, bias, padding=1) of [N,C,H,W], after `norm` and a SiLU, or enlarged `scale` times (nearest).

    over: write into x, which has to be of the result's shape.
    """
    count, _, height, width = x.shape
    change = None if norm is None else scale_and_shift(norm, x)
    size = (count, weight.shape[0], height * scale, width * scale)
    made = x if over else torch.empty(size, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    rows = max(1, PIXELS // (width * scale**2))
    above = x[:, :, :0]  # the row before a stripe, which may have been written over
    for first in range(0, height, rows):
        last = min(first + rows, height)
        part = torch.cat([above, x[:, :, first : last + 1]], 2)
        above = x[:, :, last - 1 : last].clone()
        if change is not None:
            part = F.silu(torch.addcmul(change[1], part, change[0]), inplace=True).to(x.dtype)
        if scale != 1:
            part = F.interpolate(part, scale_factor=float(scale))
            part = part[:, :, (scale - 1) * (first > 0) : part.shape[2] - (scale - 1) * (last < height)]
        part = F.pad(part, (0, 0, int(first == 0), int(last == height)))
        made[:, :, first * scale : last * scale] = F.conv2d(part, weight, bias, padding=(0, 1))
    return made


def scale_and_shift(norm: Norm, x: Tensor) -> tuple[Tensor, Tensor]:
    """What GroupNorm multiplies x with, and then adds: two times [N,C,1,1], in float32 at least."""
    precise = torch.promote_types(x.dtype, torch.float32)
    sums = x.sum((2, 3), dtype=precise)
    squares = torch.linalg.vector_norm(x, dim=(2, 3), dtype=precise).square()
    pixels = x.shape[2] * x.shape[3] * x.shape[1] // norm.groups
    mean, square = (total.unflatten(1, (norm.groups, -1)).sum(2, keepdim=True) / pixels for total in (sums, squares))
    weight, bias = (part.to(precise).view(norm.groups, -1) for part in (norm.weight, norm.bias))
    variance = (square - mean.square()).clamp(min=0)  # which rounding takes below, where a channel is flat
    scale = weight / (variance + norm.eps).sqrt()
    return scale.flatten(1)[:, :, None, None], (bias - scale * mean).flatten(1)[:, :, None, None]

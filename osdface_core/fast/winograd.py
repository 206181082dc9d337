"""3x3 convolutions with a quarter of the multiplications: Winograd's F(4x4, 3x3) (Lavin and Gray, arXiv 1509.09308).

Exact mathematics, rounded differently. It pays on a CPU, where arithmetic is the limit; a GPU's libraries choose for
themselves. Products run as a grouped 1x1 convolution, which oneDNN computes at the full width of the processor.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .group_norm import scale_and_shift

POINTS = (0, 5 / 8, -5 / 8, 3 / 2, -3 / 2)
"""Where polynomials are interpolated, besides infinity. These round twice as finely as the usual 0, 1, -1, 2, -2."""
TILE, WINDOW = 4, 6
"""Outputs and inputs of a tile, on a side."""
PRODUCTS = WINDOW**2


def one_dimensional() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The transforms of a window [6,6], of a kernel [6,3], and from products to outputs [4,6] (Cook and Toom)."""
    others = [[q for q in POINTS if q != p] for p in POINTS]
    window = np.stack([*(np.append(np.poly(roots)[::-1], 0) for roots in others), np.poly(POINTS)[::-1]])
    kernel = np.vander(POINTS, 3, increasing=True)
    kernel = kernel / np.array([[np.prod(p - np.array(roots))] for p, roots in zip(POINTS, others, strict=True)])
    output = np.vander(POINTS, TILE, increasing=True).T
    return window, np.vstack([kernel, [0, 0, 1]]), np.column_stack([output, [0, 0, 0, 1]])


FROM_WINDOW, FROM_KERNEL, TO_OUTPUT = (torch.from_numpy(np.kron(m, m)) for m in one_dimensional())
"""In two dimensions: [36,36], [36,9] and [16,36], float64."""
CONSTANT = torch.linalg.pinv(TO_OUTPUT).sum(1, keepdim=True)
"""The products [36,1] that make every output 1: what a bias is multiplied with."""

STRIP_FLOATS = 4_000_000
"""How much of the transformed input is held at once: it should stay in the processor's cache."""


def conv3x3(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, scale: int = 1, norm: nn.GroupNorm | None = None
) -> Tensor:
    """conv2d(x, weight, bias, padding=1) of float32 [N,C,H,W], in channels-last memory.

    What goes before a convolution is done on the way, strip by strip, and never held whole:
    scale: 2 for nearest-neighbour upsampling.
    norm: a GroupNorm and a SiLU.
    """
    count, channels, height, width = x.shape
    height, width = height * scale, width * scale
    out = weight.shape[0]
    from_window, from_kernel, to_output, constant = (m.to(x) for m in (FROM_WINDOW, FROM_KERNEL, TO_OUTPUT, CONSTANT))
    kernels = (from_kernel @ weight.to(x.dtype).reshape(out * channels, 9).T).view(PRODUCTS * out, channels, 1, 1)
    biases = None if bias is None else (constant * bias).flatten()
    across, down = -(-width // TILE), -(-height // TILE)
    rows = max(1, STRIP_FLOATS // (PRODUCTS * max(channels, out) * across))
    pixels = x.permute(0, 2, 3, 1).contiguous()
    result = x.new_empty(count, down, TILE, across, TILE, out)
    for n in range(count):
        change = None if norm is None else scale_and_shift(norm, pixels[n].view(-1, channels))
        for first in range(0, down, rows):
            last = min(first + rows, down)
            tiles = (last - first) * across
            windows = strip(pixels[n], first, last, across, scale, change).reshape(tiles, PRODUCTS, channels)
            v = torch.matmul(from_window, windows).view(1, 1, tiles, PRODUCTS * channels)
            # the stride changes nothing here: it only makes torch choose oneDNN for a 1x1 kernel on one thread too
            m = F.conv2d(v.permute(0, 3, 1, 2), kernels, biases, stride=(2, 1), groups=PRODUCTS)
            y = torch.matmul(to_output, m.permute(0, 2, 3, 1).reshape(tiles, PRODUCTS, out))
            result[n, first:last] = y.view(last - first, across, TILE, TILE, out).transpose(1, 2)
    return result.view(count, down * TILE, across * TILE, out)[:, :height, :width].permute(0, 3, 1, 2)


def strip(
    pixels: Tensor, first: int, last: int, across: int, scale: int, change: tuple[Tensor, Tensor] | None
) -> Tensor:
    """The windows of tile rows first..last of an image [H,W,C], after `change` and SiLU: [rows,across,6,6,C]."""
    height, width = pixels.shape[0] * scale, pixels.shape[1] * scale
    top, bottom = first * TILE - 1, last * TILE + 1
    upper, lower = max(top, 0), min(bottom, height)
    rows = pixels[upper // scale : -(-lower // scale)]
    if change is not None:
        rows = F.silu(torch.addcmul(change[1], rows, change[0]), inplace=True)
    if scale == 2:
        rows = rows.repeat_interleave(2, 0).repeat_interleave(2, 1)[upper % 2 :][: lower - upper]
    rows = F.pad(rows, (0, 0, 1, across * TILE + 1 - width, upper - top, bottom - lower))
    return rows.unfold(0, WINDOW, TILE).unfold(1, WINDOW, TILE).permute(0, 1, 3, 4, 2)

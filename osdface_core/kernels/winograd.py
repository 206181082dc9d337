"""3x3 convolutions with a quarter of the multiplications: Winograd's F(4x4, 3x3) (Lavin and Gray, arXiv 1509.09308).

Exact mathematics, rounded differently. It pays on a CPU, where arithmetic is the limit; a GPU's libraries choose for
themselves. Products run as a grouped 1x1 convolution.
"""

from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .group_norm import Norm, terms
from .onednn import grouped

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


_, FROM_KERNEL, TO_OUTPUT = (torch.from_numpy(np.kron(m, m)) for m in one_dimensional())
"""In two dimensions: [36,9] and [16,36], float64."""
CONSTANT = torch.linalg.pinv(TO_OUTPUT).sum(1, keepdim=True)
"""The products [36,1] that make every output 1: what a bias is multiplied with."""

STRIP_FLOATS = 2_000_000
"""How much of the transformed input is held at once: it should stay in the processor's cache."""
STRIP_TILES = 48
"""How many tiles a strip has at the least, where the image has that many. With 16, of 960 channels, oneDNN's product
takes fifty times as long on a processor with AVX-512."""
OUT_CHANNELS = 128
"""How many are computed at once: blocks that a memory allocator has at hand, instead of fresh pages for every layer."""


def from_window(scale: int) -> Tensor:
    """What an input's window is transformed with. Of an input to be enlarged each pixel is taken once, not repeated."""
    one, _, _ = one_dimensional()
    first = np.arange(-1, WINDOW - 1) // scale
    one = one @ np.eye(window_of(scale))[first - first[0]]
    return torch.from_numpy(np.kron(one, one))


def window_of(scale: int) -> int:
    """How much of the input, on a side, a tile of the output is made of."""
    return TILE // scale + 2


FROM_WINDOW = {scale: from_window(scale) for scale in (1, 2)}
"""[36,36] and [36,16]."""


def conv3x3(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, scale: int = 1, norm: Norm | None = None
) -> Tensor:
    """conv2d(x, weight, bias, padding=1) of float32 [N,C,H,W], in channels-last memory.

    What goes before a convolution is done on the way, strip by strip, and never held whole:
    scale: 2 for nearest-neighbour upsampling.
    norm: a GroupNorm and a SiLU.
    """
    count, channels, height, width = x.shape
    height, width = height * scale, width * scale
    out = weight.shape[0]
    into, back = FROM_WINDOW[scale].to(x), TO_OUTPUT.to(x)
    across, down = -(-width // TILE), -(-height // TILE)
    strips = strips_of(down, across, channels)
    kernels = [grouped(transform_kernels(part.to(x)), PRODUCTS) for part in weight.split(OUT_CHANNELS)]
    biases = (
        [None] * len(kernels) if bias is None else [(CONSTANT.to(x) * b).flatten() for b in bias.split(OUT_CHANNELS)]
    )
    pixels = x.permute(0, 2, 3, 1).contiguous()
    result = x.new_empty(count, down, TILE, across, TILE, out)
    for n in range(count):
        change = None if norm is None else terms(norm, pixels[n].view(-1, channels))
        for first, last in pairwise(strips):
            tiles = (last - first) * across
            windows = strip(pixels[n], first, last, across, scale, change).reshape(tiles, -1, channels)
            v = torch.matmul(into, windows).view(1, 1, tiles, PRODUCTS * channels).permute(0, 3, 1, 2)
            for kernel, b, part in zip(kernels, biases, result[n, first:last].split(OUT_CHANNELS, -1), strict=True):
                y = torch.matmul(back, kernel(v, b).permute(0, 2, 3, 1).view(tiles, PRODUCTS, -1))
                part.copy_(y.view(last - first, across, TILE, TILE, -1).transpose(1, 2))
    return result.view(count, down * TILE, across * TILE, out)[:, :height, :width].permute(0, 3, 1, 2)


def strips_of(down: int, across: int, channels: int) -> list[int]:
    """The first tile row of every strip of an image, and the end: as equal as can be, and none with too few tiles."""
    rows = max(STRIP_FLOATS // (PRODUCTS * channels * across), -(-STRIP_TILES // across), 1)
    count = max(down // rows, 1)
    return [down * strip // count for strip in range(count + 1)]


def transform_kernels(weight: Tensor) -> Tensor:
    """[O,C,3,3] -> one kernel for each of a tile's products: [36*O,C,1,1]."""
    return (FROM_KERNEL.to(weight) @ weight.reshape(-1, 9).T).view(-1, weight.shape[1], 1, 1)


def strip(pixels: Tensor, first: int, last: int, across: int, scale: int, change: tuple[Tensor, ...] | None) -> Tensor:
    """The windows of tile rows first..last of an image [H,W,C], after `change` (less, times, plus) and a SiLU:
    [rows,across,6,6,C], or 4,4 of one to be enlarged."""
    height, width = pixels.shape[:2]
    step = TILE // scale
    top, bottom = first * step - 1, last * step + 1
    upper, lower = max(top, 0), min(bottom, height)
    rows = pixels[upper:lower]
    if change is not None:
        mean, factor, bias = change
        rows = F.silu(torch.addcmul(bias, rows - mean, factor), inplace=True)
    rows = F.pad(rows, (0, 0, 1, across * step + 1 - width, upper - top, bottom - lower))
    return rows.unfold(0, window_of(scale), step).unfold(1, window_of(scale), step).permute(0, 1, 3, 4, 2)

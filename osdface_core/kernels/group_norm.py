"""GroupNorm and SiLU of an image, in the way that suits its device: a fused kernel on a GPU, strips on a CPU.

PyTorch adds up a channel of a channels-last image in one float32 sum: with 512x512 pixels that costs three decimal
digits. On a CPU every strip, which stays in its cache, has a sum of its own, and those are added in float64.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .onednn import on_cpu

STRIP_FLOATS = 1 << 17
TERMS = 64
"""How many float32 values are added before their sum is taken on in float64."""
MANY_PIXELS = 64 * 64
"""Beyond these PyTorch's own sums lose digits on a CPU."""


class Norm(NamedTuple):
    """A GroupNorm's parameters, in the precision of what is normed."""

    weight: Tensor
    bias: Tensor
    groups: int
    eps: float


def group_norm(x: Tensor, norm: Norm, *, silu: bool = False, over: bool = False) -> Tensor:
    """GroupNorm of images [N,C,H,W], and its SiLU.

    over: x is no longer needed and may be written into.
    """
    if on_cpu(x) and x.shape[2] * x.shape[3] > MANY_PIXELS:
        return in_strips(x, norm, silu, over)
    y = F.group_norm(x, norm.groups, norm.weight, norm.bias, norm.eps)
    return F.silu(y, inplace=True) if silu else y


def in_strips(x: Tensor, norm: Norm, silu: bool, over: bool) -> Tensor:
    """The norm of float32 images in a CPU's memory, channels last."""
    count, channels, height, width = x.shape
    pixels = x.permute(0, 2, 3, 1).reshape(count, height * width, channels)
    result = pixels if over else torch.empty_like(pixels)
    for image, normed in zip(pixels, result, strict=True):
        mean, scale, bias = terms(norm, image)
        for strip, out in zip(strips(image), strips(normed), strict=True):
            torch.sub(strip, mean, out=out)
            torch.addcmul(bias, out, scale, out=out)
            if silu:
                F.silu(out, inplace=True)
    return result.view(count, height, width, channels).permute(0, 3, 1, 2)


def strips(pixels: Tensor) -> tuple[Tensor, ...]:
    """pixels [P,C] in parts."""
    return pixels.split(max(1, STRIP_FLOATS // pixels.shape[1]))


def terms(norm: Norm, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What GroupNorm subtracts from the channels of an image [P,C], multiplies them with, and adds: three times [C].

    Sums are of differences from one pixel, so that a channel that is nearly flat keeps its digits; and what the mean
    loses when it is rounded is added again at the end.
    """
    one = pixels[len(pixels) // 3]  # not at an image's border, where zeros were padded
    sums, squares = torch.zeros(2, pixels.shape[1], dtype=torch.float64)
    for strip in strips(pixels):
        away = strip - one
        sums += exact_sum(away)
        squares += exact_sum(away.square_())
    away_mean = sums / len(pixels)
    variance = squares / len(pixels) - away_mean.square()
    means, variances = (part.view(norm.groups, -1) for part in (one + away_mean, variance))
    mean = means.mean(1, keepdim=True)
    whole = (variances + (means - mean).square()).mean(1, keepdim=True).clamp(min=0)
    scale = norm.weight.double().view(norm.groups, -1) / (whole + norm.eps).sqrt()
    bias = norm.bias + ((mean.float() - mean) * scale).flatten()
    return mean.float().expand_as(means).flatten(), scale.flatten().float(), bias.float()


def exact_sum(pixels: Tensor) -> Tensor:
    """The sum of [P,C] over its pixels, [C], in float64 but for the first TERMS additions."""
    whole = len(pixels) // TERMS * TERMS
    few = pixels[:whole].view(-1, TERMS, pixels.shape[1]).sum(1)
    return few.double().sum(0) + pixels[whole:].double().sum(0)

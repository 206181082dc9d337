"""GroupNorm and SiLU of channels-last images in a CPU's memory, in strips that stay in its cache.

PyTorch adds up a channel of such an image in one float32 sum: with 512x512 pixels that costs three decimal digits.
Here every strip has a sum of its own, and those are added in float64.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIP_FLOATS = 1 << 17


def strips(pixels: Tensor) -> tuple[Tensor, ...]:
    """pixels [P,C] in parts."""
    return pixels.split(max(1, STRIP_FLOATS // pixels.shape[1]))


def scale_and_shift(norm: nn.GroupNorm, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """What GroupNorm multiplies the channels of an image [P,C] with, and then adds: two times [C]."""
    sums = torch.stack([strip.sum(0) for strip in strips(pixels)]).double().sum(0)
    squares = torch.stack([strip.square().sum(0) for strip in strips(pixels)]).double().sum(0)
    count = pixels.numel() // norm.num_groups
    mean, square = (total.view(norm.num_groups, -1).sum(1, keepdim=True) / count for total in (sums, squares))
    scale = norm.weight.double().view(norm.num_groups, -1) / (square - mean.square() + norm.eps).sqrt()
    shift = norm.bias.double().view(norm.num_groups, -1) - scale * mean
    return scale.flatten().float(), shift.flatten().float()


def group_norm(norm: nn.GroupNorm, x: Tensor, silu: bool = False, over: bool = False) -> Tensor:
    """norm(x) of float32 [N,C,H,W], and its SiLU, in channels-last memory; written over x if it is no longer needed."""
    count, channels, height, width = x.shape
    pixels = x.permute(0, 2, 3, 1).reshape(count, height * width, channels)
    result = pixels if over else torch.empty_like(pixels)
    for image, normed in zip(pixels, result, strict=True):
        scale, shift = scale_and_shift(norm, image)
        for strip, out in zip(strips(image), strips(normed), strict=True):
            torch.addcmul(shift, strip, scale, out=out)
            if silu:
                F.silu(out, inplace=True)
    return result.view(count, height, width, channels).permute(0, 3, 1, 2)

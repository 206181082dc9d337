"""3x3 convolutions with what goes before them, a norm and a SiLU or an upsampling, in the way that suits the device."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .group_norm import Norm, group_norm
from .onednn import on_cpu
from .stripes import convolve_in_stripes
from .winograd import conv3x3

WINOGRAD_PIXELS, WINOGRAD_CHANNELS = 64 * 64, 64
"""Below these, transforming the kernels costs more than it saves."""

LARGE = 1024 * 1024
"""Pixels of an image from which on its memory counts for more than its time."""

SMALL_IMAGE = 16
"""How often a CPU's image goes into a kernel that is as it is stored in less time with its channels first: else PyTorch
would bring the kernel, and not the image, to the other order at every call."""

FOLD_PIXELS = 128 * 128
"""Pixels of an enlarged image from which on a GPU upsamples and convolves at once: below, folding the kernels costs
more than it saves."""


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    norm: Norm | None = None,
    scale: int = 1,
    winograd: bool = False,
    over: bool = False,
) -> Tensor:
    """conv2d(x, weight, bias, padding=1) of [N,C,H,W], after `norm` and a SiLU, or enlarged `scale` times (nearest).

    winograd: whether a CPU may take the way with fewer products, which rounds differently.
    over: x is no longer needed and may be written into.
    """
    pixels = x.shape[2] * x.shape[3] * scale**2
    if winograd and on_cpu(x) and pixels >= WINOGRAD_PIXELS and min(weight.shape[:2]) >= WINOGRAD_CHANNELS:
        return conv3x3(x, weight, bias, scale=scale, norm=norm)
    if pixels > LARGE:
        over = over and weight.shape[0] == weight.shape[1] and scale == 1
        return convolve_in_stripes(x, weight, bias, scale=scale, norm=norm, over=over)
    if scale == 2 and x.device.type == "cuda" and pixels >= FOLD_PIXELS:
        return upsampled(x, weight, bias)
    if scale != 1:
        x = F.interpolate(x, scale_factor=float(scale))
    if norm is not None:
        x = group_norm(x, norm, silu=True, over=over)
    if on_cpu(x) and weight.numel() > SMALL_IMAGE * x.numel():
        return F.conv2d(x.contiguous(), weight, bias, padding=1).contiguous(memory_format=torch.channels_last)
    return F.conv2d(x, weight, bias, padding=1)


def upsampled(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Nearest-neighbour upsampling by 2 and a 3x3 convolution as one transposed 4x4 convolution: 4/9 of the products.

    Each value of its kernel is the sum of those that meet the same input pixel: exact to the rounding of these sums.
    """
    kernel = F.avg_pool2d(weight.flip(2, 3), 2, stride=1, padding=1, divisor_override=1)  # sums, not means
    kernel = kernel.transpose(0, 1).contiguous(memory_format=torch.channels_last)
    return F.conv_transpose2d(x, kernel, bias, stride=2, padding=1)

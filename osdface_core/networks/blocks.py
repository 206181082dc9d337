"""The blocks that UNet, VAE and VQGAN are made of, under diffusers' names: residual blocks, sizes, attention."""

import torch.nn.functional as F
from torch import Tensor, nn

from ..kernels import triton_norm
from ..kernels.convolution import LARGE
from .layers import apply_convolution, apply_linear, apply_norm, apply_pointwise, as_norm, fused
from .operations import Operations, attend


class ResnetBlock(nn.Module):
    """Two convolutions of a normed image [N,C,H,W], added to it; told the time where it is a UNet's."""

    winograd = False
    """Whether a CPU may convolve with fewer products, which round differently."""

    def __init__(
        self,
        into: int,
        out: int,
        groups: int,
        eps: float,
        ops: Operations,
        time_channels: int | None = None,
    ):
        super().__init__()
        self.ops = ops
        self.norm1 = ops.GroupNorm(groups, into, eps)
        self.conv1 = ops.Conv2d(into, out, 3, padding=1)
        self.time_emb_proj = None if time_channels is None else ops.Linear(time_channels, out)
        self.norm2 = ops.GroupNorm(groups, out, eps)
        self.conv2 = ops.Conv2d(out, out, 3, padding=1)
        self.conv_shortcut = None if into == out else ops.Conv2d(into, out, 1)

    def time_shift(self, embedding: Tensor) -> Tensor:
        """What a time embedding [N,T], after its SiLU, adds to the first convolution: [N,C]."""
        assert self.time_emb_proj is not None
        return apply_linear(self.ops, self.time_emb_proj, embedding)

    def forward(self, x: Tensor, shift: Tensor | None = None) -> Tensor:
        """x [N,C,H,W]; shift: [1,O] or [N,O], what `time_shift` gave."""
        ops, winograd = self.ops, self.winograd
        if self.is_fused(x, shift):
            return self.without_biases(x, shift)
        hidden = apply_convolution(ops, self.conv1, x, norm=self.norm1, shift=shift, winograd=winograd)
        hidden = apply_convolution(ops, self.conv2, hidden, norm=self.norm2, winograd=winograd, over=True)
        if self.conv_shortcut is not None:
            x = apply_pointwise(ops, self.conv_shortcut, x)
        return hidden.add_(x) if fused() else hidden + x

    def is_fused(self, x: Tensor, shift: Tensor | None) -> bool:
        """Whether a GPU's fused norm may take on what the convolutions leave."""
        layers = [self.norm1, self.conv1, self.norm2, self.conv2, *filter(None, [self.conv_shortcut])]
        one_time = shift is None or len(shift) == 1
        return one_time and x.shape[2] * x.shape[3] <= LARGE and fused(*layers) and triton_norm.usable(x)

    def without_biases(self, x: Tensor, shift: Tensor | None) -> Tensor:
        """The block on a GPU: biases, which cuDNN's convolutions would have added in kernels of their own, are left to
        the norm and the sum that follow."""
        ops = self.ops
        hidden = apply_norm(ops, self.norm1, x, silu=True)
        with ops.parameters(self.conv1, x) as (weight, bias):
            hidden = F.conv2d(hidden, weight, padding=1)
            bias = bias if shift is None or bias is None else bias + shift[0]
            with ops.parameters(self.norm2, x) as (scale, offset):
                norm = as_norm(self.norm2, scale, offset)
                hidden = triton_norm.group_norm(hidden, *norm, silu=True, shift=bias, out=hidden)
        with ops.parameters(self.conv2, x) as (weight, bias):
            hidden = F.conv2d(hidden, weight, padding=1)
            assert bias is not None
            if self.conv_shortcut is None:
                return triton_norm.add_(hidden, x, bias)
            with ops.parameters(self.conv_shortcut, x) as (weight, more):
                return triton_norm.add_(hidden, F.conv2d(x, weight), bias if more is None else bias + more)


class Downsample(nn.Module):
    """Half the size, by a convolution that takes every second pixel."""

    def __init__(self, channels: int, padding: int, ops: Operations):
        """padding: 1 on all sides as a UNet does it, or 0 for one at the right and bottom, as a VAE does."""
        super().__init__()
        self.ops, self.padding = ops, padding
        self.conv = ops.Conv2d(channels, channels, 3, stride=2, padding=padding)

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.padding else F.pad(x, (0, 1, 0, 1))
        if not fused(self.conv):
            return self.conv(x)
        with self.ops.parameters(self.conv, x) as (weight, bias):
            return F.conv2d(x, weight, bias, stride=2, padding=self.padding)


class Upsample(nn.Module):
    """Twice the size by repeating pixels, then a convolution."""

    winograd = False
    """Whether a CPU may convolve with fewer products, which round differently."""

    def __init__(self, channels: int, ops: Operations):
        super().__init__()
        self.ops = ops
        self.conv = ops.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """size: (height, width), where that is not twice the input's."""
        if size is None or size == (2 * x.shape[2], 2 * x.shape[3]):
            return apply_convolution(self.ops, self.conv, x, scale=2, winograd=self.winograd)
        return apply_convolution(self.ops, self.conv, F.interpolate(x, size))


class ImageAttention(nn.Module):
    """Self-attention of the pixels of an image [N,C,H,W], in one head, added to it.

    Always PyTorch's own attention: hosts quantise theirs, which autoencoders do not bear.
    """

    def __init__(self, channels: int, groups: int, eps: float, ops: Operations):
        super().__init__()
        self.ops = ops
        self.group_norm = ops.GroupNorm(groups, channels, eps)
        self.to_q, self.to_k, self.to_v = (ops.Linear(channels, channels) for _ in range(3))
        self.to_out = nn.ModuleList([ops.Linear(channels, channels)])

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        pixels = apply_norm(self.ops, self.group_norm, x).permute(0, 2, 3, 1).flatten(1, 2)
        q, k, v = (apply_linear(self.ops, layer, pixels) for layer in (self.to_q, self.to_k, self.to_v))
        made = apply_linear(self.ops, self.to_out[0], attend(q, k, v, 1))
        return made.unflatten(1, (height, width)).permute(0, 3, 1, 2) + x

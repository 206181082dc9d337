"""The transformer of a UNet: an image's pixels attend to each other, and to the prompt."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..kernels.onednn import on_cpu
from .layers import apply_layer_norm, apply_linear, apply_norm, apply_pointwise, fused
from .operations import Operations

TOKENS = 512
"""How many a feed-forward network takes at once on a CPU, so that what is eight times as wide stays in its cache."""


class Attention(nn.Module):
    """Attention of tokens [N,Q,C] over a context [N,K,D], in several heads."""

    def __init__(self, channels: int, context: int, heads: int, upcast: bool, ops: Operations):
        super().__init__()
        self.ops, self.heads, self.upcast = ops, heads, upcast
        self.to_q = ops.Linear(channels, channels, bias=False)
        self.to_k = ops.Linear(context, channels, bias=False)
        self.to_v = ops.Linear(context, channels, bias=False)
        self.to_out = nn.ModuleList([ops.Linear(channels, channels)])

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        q = apply_linear(self.ops, self.to_q, x)
        k, v = (apply_linear(self.ops, layer, context) for layer in (self.to_k, self.to_v))
        if self.upcast:
            made = self.ops.attention(q.float(), k.float(), v.float(), self.heads).to(x.dtype)
        else:
            made = self.ops.attention(q, k, v, self.heads)
        return apply_linear(self.ops, self.to_out[0], made)


class GatedLinear(nn.Module):
    """GEGLU: one half of a linear layer's result, times the GELU of the other."""

    def __init__(self, into: int, out: int, ops: Operations):
        super().__init__()
        self.ops = ops
        self.proj = ops.Linear(into, 2 * out)

    def forward(self, x: Tensor) -> Tensor:
        hidden, gate = apply_linear(self.ops, self.proj, x).chunk(2, dim=-1)
        return hidden * F.gelu(gate)


class FeedForward(nn.Module):
    """Every token [N,T,C] by itself through a layer four times as wide."""

    def __init__(self, channels: int, ops: Operations):
        super().__init__()
        self.ops = ops
        self.net = nn.ModuleList([GatedLinear(channels, 4 * channels, ops), nn.Identity()])
        self.net.append(ops.Linear(4 * channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        if fused() and on_cpu(x):
            return torch.cat([self.whole(tokens) for tokens in x.split(TOKENS, dim=1)], dim=1)
        return self.whole(x)

    def whole(self, x: Tensor) -> Tensor:
        return apply_linear(self.ops, self.net[2], self.net[0](x))


class TransformerBlock(nn.Module):
    """Self-attention, attention to the prompt, and a feed-forward network, each added to what it was given."""

    def __init__(self, channels: int, context: int, heads: int, upcast: bool, ops: Operations):
        super().__init__()
        self.ops = ops
        self.norm1, self.norm2, self.norm3 = (ops.LayerNorm(channels) for _ in range(3))
        self.attn1 = Attention(channels, channels, heads, upcast, ops)
        self.attn2 = Attention(channels, context, heads, upcast, ops)
        self.ff = FeedForward(channels, ops)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        normed = apply_layer_norm(self.ops, self.norm1, x)
        x = x + self.attn1(normed, normed)
        x = x + self.attn2(apply_layer_norm(self.ops, self.norm2, x), context)
        return x + self.ff(apply_layer_norm(self.ops, self.norm3, x))


class Transformer(nn.Module):
    """An image [N,C,H,W] through a transformer block, its pixels as tokens, added to the image."""

    def __init__(
        self, channels: int, context: int, heads: int, groups: int, linear: bool, upcast: bool, ops: Operations
    ):
        """linear: whether the layers before and after are linear ones; else they are 1x1 convolutions: the same."""
        super().__init__()
        self.ops, self.linear = ops, linear
        self.norm = ops.GroupNorm(groups, channels, eps=1e-6)
        self.proj_in, self.proj_out = (
            ops.Linear(channels, channels) if linear else ops.Conv2d(channels, channels, 1) for _ in range(2)
        )
        self.transformer_blocks = nn.ModuleList([TransformerBlock(channels, context, heads, upcast, ops)])

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        height, width = x.shape[2:]
        hidden = apply_norm(self.ops, self.norm, x)
        if self.linear:
            hidden = apply_linear(self.ops, self.proj_in, tokens(hidden))
        else:
            hidden = tokens(apply_pointwise(self.ops, self.proj_in, hidden))
        hidden = self.transformer_blocks[0](hidden, context)
        if self.linear:
            return image(apply_linear(self.ops, self.proj_out, hidden), height, width) + x
        return apply_pointwise(self.ops, self.proj_out, image(hidden, height, width)) + x


def tokens(x: Tensor) -> Tensor:
    """[N,C,H,W] -> [N,H*W,C]; a view where the channels are last in memory."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


def image(x: Tensor, height: int, width: int) -> Tensor:
    """[N,H*W,C] -> [N,C,H,W]."""
    return x.unflatten(1, (height, width)).permute(0, 3, 1, 2)

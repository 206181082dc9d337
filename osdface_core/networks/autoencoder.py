"""Encoder and decoder of an image: the halves of Stable Diffusion's VAE, and of the VQGAN behind OSDFace's prompt."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from itertools import chain
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .blocks import Downsample, ImageAttention, ResnetBlock, Upsample
from .layers import apply_convolution, channels_last, fused
from .operations import TORCH, Operations

EPS = 1e-6


class Level(nn.Module):
    """Residual blocks of one size, each followed by attention where asked, and what changes the size at the end."""

    def __init__(self, into: int, out: int, layers: int, groups: int, ops: Operations, attention: bool):
        super().__init__()
        self.resnets = nn.ModuleList(ResnetBlock(into if n == 0 else out, out, groups, EPS, ops) for n in range(layers))
        if attention:
            self.attentions = nn.ModuleList(ImageAttention(out, groups, EPS, ops) for _ in range(layers))

    def blocks(self) -> list[nn.Module]:
        """In the order in which an image goes through them."""
        each = (self.resnets, self.attentions) if hasattr(self, "attentions") else (self.resnets,)
        resizes = (*getattr(self, "downsamplers", ()), *getattr(self, "upsamplers", ()))
        return [*chain.from_iterable(zip(*each, strict=True)), *resizes]


class Middle(nn.Module):
    """Two residual blocks with attention between them, at the smallest size."""

    def __init__(self, channels: int, groups: int, ops: Operations):
        super().__init__()
        self.resnets = nn.ModuleList(ResnetBlock(channels, channels, groups, EPS, ops) for _ in range(2))
        self.attentions = nn.ModuleList([ImageAttention(channels, groups, EPS, ops)])

    def blocks(self) -> list[nn.Module]:
        """In the order in which an image goes through them."""
        return [self.resnets[0], self.attentions[0], self.resnets[1]]


class Half(nn.Module, ABC):
    """What encoder and decoder share: the order of their parts, and how much of it a device computes at once."""

    checkpointing = False
    """Compute activations again in the backward pass instead of keeping them."""
    smallest_first = False
    """Whether an image grows from level to level."""

    def __init__(
        self,
        into: int,
        out: int,
        widths: tuple[int, ...],
        layers: int,
        groups: int = 32,
        ops: Operations = TORCH,
        attention: bool = False,
    ):
        """widths: of the levels, the largest image first. layers: residual blocks of a level; a decoder's has one more.
        attention: at the level of the smallest image, too, as a VQGAN has it."""
        super().__init__()
        self.ops = ops
        widths = widths[::-1] if self.smallest_first else widths
        self.conv_in = ops.Conv2d(into, widths[0], 3, padding=1)
        self.build(widths, layers, groups, attention)
        self.conv_norm_out = ops.GroupNorm(groups, widths[-1], EPS)
        self.conv_out = ops.Conv2d(widths[-1], out, 3, padding=1)

    @abstractmethod
    def build(self, widths: tuple[int, ...], layers: int, groups: int, attention: bool) -> None:
        """Make the levels, of these widths in the order in which an image goes through them, and the middle."""

    @property
    def last_layer(self) -> nn.Parameter:
        """The weights of the last convolution."""
        assert isinstance(self.conv_out.weight, nn.Parameter)
        return self.conv_out.weight

    @abstractmethod
    def parts(self) -> list[Level | Middle]:
        """The levels and the middle, in order."""

    def forward(self, x: Tensor) -> Tensor:
        """On a CPU one image after the other: there many at once take no less time, and as often the memory."""
        if fused() and x.device.type == "cpu":
            return torch.cat([self.whole(image) for image in x.split(1)])
        return self.whole(x)

    def whole(self, x: Tensor) -> Tensor:
        run: Callable[[nn.Module, Tensor], Tensor] = recomputed if self.checkpointing else plainly
        x = apply_convolution(self.ops, self.conv_in, channels_last(x) if fused() else x)
        for block in chain.from_iterable(part.blocks() for part in self.parts()):
            x = run(block, x)  # nothing else holds on to what a block was given, which may be the largest of all
        return apply_convolution(self.ops, self.conv_out, x, norm=self.conv_norm_out, over=True)


def plainly(block: nn.Module, x: Tensor) -> Tensor:
    return block(x)


def recomputed(block: nn.Module, x: Tensor) -> Tensor:
    made: Tensor = checkpoint(block, x, use_reentrant=False)
    return made


class Encoder(Half):
    """Images [N,3,H,W] to features [N,out,h,w], half the size with every width but the last."""

    def build(self, widths: tuple[int, ...], layers: int, groups: int, attention: bool) -> None:
        self.down_blocks = nn.ModuleList()
        for n, width in enumerate(widths):
            last = n == len(widths) - 1
            level = Level(widths[max(n - 1, 0)], width, layers, groups, self.ops, attention and last)
            if not last:
                level.downsamplers = nn.ModuleList([Downsample(width, 0, self.ops)])
            self.down_blocks.append(level)
        self.mid_block = Middle(widths[-1], groups, self.ops)

    def parts(self) -> list[Level | Middle]:
        return [*cast("Iterable[Level]", self.down_blocks), self.mid_block]


class Decoder(Half):
    """Features [N,into,h,w] to images [N,out,H,W], twice the size with every width but the last."""

    smallest_first = True

    def build(self, widths: tuple[int, ...], layers: int, groups: int, attention: bool) -> None:
        self.mid_block = Middle(widths[0], groups, self.ops)
        self.up_blocks = nn.ModuleList()
        for n, width in enumerate(widths):
            level = Level(widths[max(n - 1, 0)], width, layers + 1, groups, self.ops, attention and n == 0)
            if n < len(widths) - 1:
                level.upsamplers = nn.ModuleList([Upsample(width, self.ops)])
            self.up_blocks.append(level)

    def parts(self) -> list[Level | Middle]:
        return [self.mid_block, *cast("Iterable[Level]", self.up_blocks)]

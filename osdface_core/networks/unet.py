"""Stable Diffusion 2.1's UNet: predicts the noise in latents, told the time and a prompt."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .blocks import Downsample, ResnetBlock, Upsample
from .config import UNetConfig
from .layers import apply_convolution, apply_linear, channels_last, fused
from .operations import TORCH, Operations
from .transformer import Transformer

EPS = 1e-5


class UNetBlock(nn.Module):
    """Residual blocks of one size, and the transformers after them."""

    def __init__(self, widths: Sequence[int], level: int, transformers: int, config: UNetConfig, ops: Operations):
        """widths: the channels that each residual block takes."""
        super().__init__()
        groups, out = config.norm_num_groups, config.block_out_channels[level]
        time = 4 * config.block_out_channels[0]
        self.resnets = nn.ModuleList(ResnetBlock(width, out, groups, EPS, ops, time_channels=time) for width in widths)
        if transformers:
            sizes = out, config.cross_attention_dim, config.heads[level], groups
            kind = config.use_linear_projection, config.upcast_attention
            self.attentions = nn.ModuleList(Transformer(*sizes, *kind, ops) for _ in range(transformers))

    def layer(self, n: int, x: Tensor, shift: Tensor, context: Tensor) -> Tensor:
        """The n-th residual block and the transformer after it."""
        x = self.resnets[n](x, shift)
        return self.attentions[n](x, context) if hasattr(self, "attentions") else x


class UNetDown(UNetBlock):
    """A level of the way down: gives its result, and what the way up will need of it."""

    def forward(self, x: Tensor, shifts: Sequence[Tensor], context: Tensor) -> tuple[Tensor, list[Tensor]]:
        kept = []
        for n, shift in enumerate(shifts):
            x = self.layer(n, x, shift, context)
            kept.append(x)
        for downsample in getattr(self, "downsamplers", ()):
            x = downsample(x)
            kept.append(x)
        return x, kept


class UNetMiddle(UNetBlock):
    """The smallest size: attention between two residual blocks."""

    def forward(self, x: Tensor, shifts: Sequence[Tensor], context: Tensor) -> Tensor:
        made: Tensor = self.resnets[1](self.layer(0, x, shifts[0], context), shifts[1])
        return made


class UNetUp(UNetBlock):
    """A level of the way up, which sees again what the way down kept."""

    def forward(
        self,
        x: Tensor,
        shifts: Sequence[Tensor],
        context: Tensor,
        kept: Sequence[Tensor],
        size: tuple[int, int] | None,
    ) -> Tensor:
        """kept: one image for each residual block. size: (height, width) of the next level, where there is one."""
        for n, (shift, skip) in enumerate(zip(shifts, kept, strict=True)):
            x = self.layer(n, torch.cat([x, skip], dim=1), shift, context)
        for upsample in getattr(self, "upsamplers", ()):
            x = upsample(x, size)
        return x


class TimeEmbedding(nn.Module):
    """Sines and cosines of a timestep through two linear layers."""

    def __init__(self, channels: int, ops: Operations):
        super().__init__()
        self.ops, self.channels = ops, channels
        self.linear_1 = ops.Linear(channels, 4 * channels)
        self.linear_2 = ops.Linear(4 * channels, 4 * channels)

    def forward(self, timesteps: Tensor, dtype: torch.dtype) -> Tensor:
        """timesteps [N] -> [N,4C] in `dtype`."""
        half = self.channels // 2
        steps = torch.arange(half, device=timesteps.device, dtype=torch.float32)
        frequencies = torch.exp(-math.log(10000) * steps / half)
        angles = timesteps[:, None].float() * frequencies
        waves = torch.cat([angles.cos(), angles.sin()], dim=1).to(dtype)
        return apply_linear(self.ops, self.linear_2, F.silu(apply_linear(self.ops, self.linear_1, waves)))


class UNet(nn.Module):
    """The UNet under the names of diffusers' UNet2DConditionModel, for any sizes of a UNetConfig."""

    checkpointing = False
    """Compute activations again in the backward pass instead of keeping them."""

    def __init__(self, config: UNetConfig, ops: Operations = TORCH):
        super().__init__()
        self.config, self.ops = config, ops
        widths, layers = config.block_out_channels, config.layers_per_block
        self.conv_in = ops.Conv2d(config.in_channels, widths[0], 3, padding=1)
        self.time_embedding = TimeEmbedding(widths[0], ops)
        self.down_blocks, self.up_blocks = nn.ModuleList(), nn.ModuleList()
        skips = [widths[0]]
        for n, (kind, width) in enumerate(zip(config.down_block_types, widths, strict=True)):
            joined = [skips[-1]] + [width] * (layers - 1)
            down = UNetDown(joined, n, layers if kind.startswith("CrossAttn") else 0, config, ops)
            skips += [width] * layers
            if n < len(widths) - 1:
                down.downsamplers = nn.ModuleList([Downsample(width, 1, ops)])
                skips.append(width)
            self.down_blocks.append(down)
        self.mid_block = UNetMiddle([widths[-1]] * 2, len(widths) - 1, 1, config, ops)
        before = widths[-1]
        for n, kind in enumerate(config.up_block_types):
            level = len(widths) - 1 - n
            width = widths[level]
            joined = [(before if k == 0 else width) + skips.pop() for k in range(layers + 1)]
            up = UNetUp(joined, level, layers + 1 if kind.startswith("CrossAttn") else 0, config, ops)
            if level > 0:
                up.upsamplers = nn.ModuleList([Upsample(width, ops)])
            self.up_blocks.append(up)
            before = width
        self.conv_norm_out = ops.GroupNorm(config.norm_num_groups, widths[0], EPS)
        self.conv_out = ops.Conv2d(widths[0], config.out_channels, 3, padding=1)

    def forward(self, latents: Tensor, timesteps: int | Tensor | Sequence[Tensor], context: Tensor) -> Tensor:
        """The noise in latents [N,C,h,w], shaped like them.

        timesteps: one, or [N] of them, or what `time_shifts` makes of one.
        context: [N,T,D], the prompt.
        """
        shifts = self.time_shifts(timesteps, latents) if isinstance(timesteps, int | Tensor) else timesteps
        run: Callable[..., Any] = recomputed if self.checkpointing and torch.is_grad_enabled() else plainly
        latents = channels_last(latents) if fused() else latents
        x = apply_convolution(self.ops, self.conv_in, latents)
        left, kept, layers = list(shifts), [x], self.config.layers_per_block + 1
        for down in self.down_blocks:
            x, own = run(down, x, taken(left, down), context)
            kept += own
        x = run(self.mid_block, x, taken(left, self.mid_block), context)
        for up in self.up_blocks:
            own = [kept.pop() for _ in range(layers)]
            size = tuple(kept[-1].shape[2:]) if kept else None
            x = run(up, x, taken(left, up), context, own, size)
        return apply_convolution(self.ops, self.conv_out, x, norm=self.conv_norm_out, over=True)

    def time_shifts(self, timesteps: int | Tensor, like: Tensor) -> list[Tensor]:
        """What a timestep adds in each residual block, [1,C] or [N,C], in the precision of `like`, in forward's order.

        The same for every image: compute it once where many are restored at one timestep.
        """
        if isinstance(timesteps, int):
            timesteps = torch.full((1,), timesteps, device=like.device)
        embedding = F.silu(self.time_embedding(timesteps, like.dtype))
        return [block.time_shift(embedding) for block in resnet_blocks(self)]

    def enable_gradient_checkpointing(self) -> None:
        self.checkpointing = True


def resnet_blocks(unet: UNet) -> list[ResnetBlock]:
    """The residual blocks in the order in which a forward comes to them."""
    blocks: list[Any] = [*unet.down_blocks, unet.mid_block, *unet.up_blocks]
    return [resnet for block in blocks for resnet in block.resnets]


def taken(shifts: list[Tensor], block: Any) -> list[Tensor]:
    """The first of `shifts`, as many as the block has residual blocks; they are gone from the list."""
    count = len(block.resnets)
    own, shifts[:] = shifts[:count], shifts[count:]
    return own


def plainly(block: nn.Module, *inputs: Any) -> Any:
    return block(*inputs)


def recomputed(block: nn.Module, *inputs: Any) -> Any:
    return checkpoint(block, *inputs, use_reentrant=False)

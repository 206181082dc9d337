"""diffusers' blocks rewritten for inference: the same weights under the same names, less work and less memory.

Each class here takes the place of the class that it extends, on modules that exist already. Weights may be stored in
another precision than the one that is computed in: they are cast where they are used.
"""

from typing import Any

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.attention import FeedForward
from diffusers.models.embeddings import TimestepEmbedding
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.upsampling import Upsample2D
from torch import Tensor, nn

from .group_norm import group_norm
from .onednn import linear
from .stripes import convolve_in_stripes
from .winograd import conv3x3

WINOGRAD_PIXELS, WINOGRAD_CHANNELS = 64 * 64, 64
"""Below these, transforming the kernels costs more than it saves."""

TOKENS = 512
"""How many a feed-forward network takes at once on a CPU."""

LARGE = 1024 * 1024
"""Pixels of an image from which on its memory counts for more than its time."""


class FastResnetBlock(ResnetBlock2D):
    """What depends on the timestep alone is folded into the first convolution's bias; sums and SiLUs are in place."""

    winograd = True
    folded: Tensor
    """conv1's bias with the timestep's part, a buffer from `fold_timestep`."""

    def forward(self, x: Tensor, temb: None = None) -> Tensor:
        bias = self.folded if "folded" in self._buffers else self.conv1.bias
        hidden = convolve(self.conv1, x, bias, norm=self.norm1, winograd=self.winograd)
        hidden = convolve(self.conv2, hidden, self.conv2.bias, norm=self.norm2, winograd=self.winograd, over=True)
        return hidden.add_(x if self.conv_shortcut is None else self.conv_shortcut(x))


class FastUpsample(Upsample2D):
    """Nearest-neighbour upsampling and its convolution; on a CPU as one."""

    def forward(self, x: Tensor, output_size: tuple[int, int] | None = None) -> Tensor:
        size = tuple(2 * length for length in x.shape[2:])
        if output_size is None or tuple(output_size) == size:
            return convolve(self.conv, x, self.conv.bias, scale=2)
        return convolve(self.conv, F.interpolate(x, output_size), self.conv.bias)


class FastUNet(UNet2DConditionModel):
    """The timestep is folded into the blocks, so nothing of it is computed in a forward."""

    folded_at: tuple[int, torch.device, torch.dtype] | None = None

    def get_time_embed(self, sample: Tensor, timestep: int) -> None:
        return None


class FoldedTimestepEmbedding(TimestepEmbedding):
    def forward(self, sample: None, condition: None = None) -> None:
        return None


class FastFeedForward(FeedForward):
    """On a CPU some tokens after others, so that what is eight times as wide stays in its cache."""

    def forward(self, x: Tensor) -> Tensor:
        if not on_cpu(x):
            return super().forward(x)
        whole = super().forward
        return torch.cat([whole(tokens) for tokens in x.split(TOKENS, dim=1)], dim=1)


class FastGroupNorm(nn.GroupNorm):
    """Exact to float32 rounding on channels-last images, too."""

    def forward(self, x: Tensor) -> Tensor:
        return group_norm(self, x) if x.ndim == 4 and long_sums(x) else super().forward(x)


class CastConv2d(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.weight.to(x.dtype), None if self.bias is None else self.bias.to(x.dtype)
        if self.kernel_size == (1, 1) and on_cpu(x):
            return linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)
        return self._conv_forward(x, weight, bias)


class CastLinear(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.weight.to(x.dtype), None if self.bias is None else self.bias.to(x.dtype)
        return linear(x, weight, bias) if on_cpu(x) else F.linear(x, weight, bias)


REWRITES: dict[type, type] = {
    ResnetBlock2D: FastResnetBlock,
    Upsample2D: FastUpsample,
    UNet2DConditionModel: FastUNet,
    FeedForward: FastFeedForward,
    TimestepEmbedding: FoldedTimestepEmbedding,
    nn.GroupNorm: FastGroupNorm,
    nn.Conv2d: CastConv2d,
    nn.Linear: CastLinear,
}


def rewrite(network: nn.Module, winograd: bool = True) -> None:
    """Put the fast classes in place, throughout `network`. Nothing but the modules' classes changes.

    winograd: False where results are compared so finely that even rounding should stay what it was.
    """
    for module in network.modules():
        module.__class__ = REWRITES.get(type(module), type(module))
        if isinstance(module, FastResnetBlock):
            module.winograd = winograd
        elif isinstance(module, nn.SiLU):
            module.inplace = True


def convolve(
    layer: Any,
    x: Tensor,
    bias: Tensor | None,
    *,
    scale: int = 1,
    norm: nn.GroupNorm | None = None,
    winograd: bool = True,
    over: bool = False,
) -> Tensor:
    """A 3x3 convolution of x, after `norm` and a SiLU or enlarged by `scale`, in the way that suits device and size.

    over: x is no longer needed and has the result's shape.
    """
    bias = None if bias is None else bias.to(x.dtype)
    pixels = x.shape[2] * x.shape[3] * scale**2
    if winograd and on_cpu(x) and pixels >= WINOGRAD_PIXELS and min(layer.weight.shape[:2]) >= WINOGRAD_CHANNELS:
        return conv3x3(x, layer.weight, bias, scale=scale, norm=norm)
    if pixels > LARGE and not torch.compiler.is_compiling():
        return convolve_in_stripes(x, layer.weight.to(x.dtype), bias, scale=scale, norm=norm, over=over)
    if scale != 1:
        x = F.interpolate(x, scale_factor=float(scale))
    if norm is not None:
        x = group_norm(norm, x, silu=True, over=over) if long_sums(x) else F.silu(norm(x), inplace=True)
    return F.conv2d(x, layer.weight.to(x.dtype), bias, padding=1)


def on_cpu(x: Tensor) -> bool:
    """Whether to compute in the CPU's ways."""
    return x.device.type == "cpu" and x.dtype == torch.float32 and not torch.compiler.is_compiling()


def long_sums(x: Tensor) -> bool:
    """Whether PyTorch's own GroupNorm would lose digits of x."""
    return on_cpu(x) and x.shape[2] * x.shape[3] > 64 * 64


def fold_timestep(unet: Any, timestep: int, dtype: torch.dtype) -> None:
    """Make a FastUNet, computing in `dtype`, predict for `timestep`. It is done again only for another one."""
    place = (timestep, unet.device, dtype)
    if unet.folded_at == place:
        return
    steps = torch.tensor([timestep], device=unet.device)
    embedding = F.silu(TimestepEmbedding.forward(unet.time_embedding, unet.time_proj(steps).to(dtype)))
    for block in unet.modules():
        if isinstance(block, FastResnetBlock):
            folded = block.conv1.bias.to(dtype) + block.time_emb_proj(embedding)[0]
            block.register_buffer("folded", folded, persistent=False)
    unet.folded_at = place

"""How the networks compute a layer: by its module where gradients, tracing or adapters want that, else fused."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..kernels.convolution import convolve
from ..kernels.group_norm import Norm, group_norm
from ..kernels.onednn import linear, on_cpu
from .operations import Operations


def fused(*layers: nn.Module) -> bool:
    """Whether these layers may be computed together and in place, as inference wants it.

    Not while gradients are recorded or a graph is traced, nor where an adapter (peft's LoRA) is wrapped around a layer.
    """
    plain = all(isinstance(layer, nn.Conv2d | nn.Linear | nn.GroupNorm) for layer in layers)
    tracing = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined]
    return plain and not tracing and not torch.is_grad_enabled()


def channels_last(x: Tensor) -> Tensor:
    """Images [N,C,H,W] with their channels last in memory, where the device's libraries know that layout."""
    return x.contiguous(memory_format=torch.channels_last) if x.device.type in ("cpu", "cuda") else x


def apply_linear(ops: Operations, layer: nn.Module, x: Tensor) -> Tensor:
    """A linear layer of [...,C]."""
    if not fused(layer):
        return layer(x)
    with ops.parameters(layer, x) as (weight, bias):
        return linear(x, weight, bias) if on_cpu(x) else F.linear(x, weight, bias)


def apply_norm(ops: Operations, norm: nn.Module, x: Tensor, *, silu: bool = False, over: bool = False) -> Tensor:
    """A GroupNorm of [N,C,H,W], and its SiLU. over: x is no longer needed."""
    if not fused(norm):
        return F.silu(norm(x)) if silu else norm(x)
    with ops.parameters(norm, x) as (weight, bias):
        return group_norm(x, as_norm(norm, weight, bias), silu=silu, over=over)


def apply_layer_norm(ops: Operations, norm: nn.LayerNorm, x: Tensor) -> Tensor:
    """A LayerNorm of [...,C]."""
    if torch.is_grad_enabled():
        return norm(x)
    with ops.parameters(norm, x) as (weight, bias):
        return F.layer_norm(x, norm.normalized_shape, weight, bias, norm.eps)


def apply_pointwise(ops: Operations, layer: nn.Module, x: Tensor) -> Tensor:
    """A 1x1 convolution of [N,C,H,W]."""
    if not fused(layer):
        return layer(x)
    with ops.parameters(layer, x) as (weight, bias):
        if on_cpu(x):
            return linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)
        return F.conv2d(x, weight, bias)


def apply_convolution(
    ops: Operations,
    layer: nn.Module,
    x: Tensor,
    *,
    norm: nn.Module | None = None,
    shift: Tensor | None = None,
    scale: int = 1,
    winograd: bool = False,
    over: bool = False,
) -> Tensor:
    """A 3x3 convolution of [N,C,H,W] that keeps its size, after `norm` and a SiLU, or enlarged `scale` times.

    shift: [N or 1,O], added to the result.
    over: x is no longer needed.
    """
    if not fused(layer, *([] if norm is None else [norm])):
        x = x if norm is None else F.silu(norm(x))
        x = layer(F.interpolate(x, scale_factor=float(scale)) if scale != 1 else x)
        return x if shift is None else x + shift[:, :, None, None]
    with ops.parameters(layer, x) as (weight, bias):
        if shift is not None and len(shift) == 1 and bias is not None:
            bias, shift = bias + shift[0], None
        if norm is None:
            y = convolve(x, weight, bias, scale=scale, winograd=winograd, over=over)
        else:
            with ops.parameters(norm, x) as (scales, shifts):
                first = as_norm(norm, scales, shifts)
                y = convolve(x, weight, bias, norm=first, scale=scale, winograd=winograd, over=over)
    return y if shift is None else y.add_(shift[:, :, None, None])


def as_norm(norm: nn.Module, weight: Tensor, bias: Tensor | None) -> Norm:
    assert isinstance(norm, nn.GroupNorm)
    assert bias is not None
    return Norm(weight, bias, norm.num_groups, norm.eps)

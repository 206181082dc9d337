"""Merge a LoRA into the weights it changes: W + alpha / rank * B A (Hu et al., arXiv 2106.09685)."""

from pathlib import Path

import torch
from torch import Tensor

from ..errors import LoraError
from .files import Tensors, require_finite

RANK = 16
ALPHA = 16.0
"""OSDFace's LoRA has rank 16 and alpha 16, so its scale is 1."""

TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2"]
TARGETS += ["conv1", "conv2", "conv_shortcut", "proj_in", "proj_out"]
"""The layers that it changes, by the ends of their names."""

NAMINGS = ((".lora_A.weight", ".lora_B.weight"), (".lora.down.weight", ".lora.up.weight"))
"""How the two factors of a module are called: by peft, and by older diffusers."""


def merge_lora(weights: Tensors, lora: Tensors, path: str | Path) -> Tensors:
    """The UNet's `weights` (diffusers' names) with the LoRA of `path` (keys `unet.<module>…`) merged.

    Computed in float32, kept in the weights' own precision.

    Linear and convolution layers alike. Raises LoraError on any other rank, on keys that belong to no weight of the
    UNet, and on half a pair.
    """
    require_finite(lora, path)
    merged = dict(weights)
    used: set[str] = set()
    for key in lora:
        for down, up in NAMINGS:
            if not key.endswith(down):
                continue
            module = key.removeprefix("unet.").removesuffix(down)
            other, target = key.removesuffix(down) + up, module + ".weight"
            if other not in lora:
                raise LoraError(path, f"{key} has no counterpart {other}.", "The file is incomplete.", key=key)
            if target not in weights:
                raise LoraError(path, f"{key} changes {module}, which the UNet does not have.", NOT_FOR_UNET, key=key)
            a, b = lora[key], lora[other]
            if a.shape[0] != RANK or b.shape[1] != RANK:
                problem = f"{key} has rank {a.shape[0]} (and its counterpart {b.shape[1]}), expected {RANK}."
                raise LoraError(path, problem, "This is not OSDFace's LoRA.", key=key)
            check_pair(weights[target], a, b, path, key)
            merged[target] = add_pair(weights[target], a, b, ALPHA / RANK)
            used |= {key, other}
    left = sorted(lora.keys() - used)
    if left:
        problem = f"{len(left)} tensor(s) are not part of a LoRA pair: {', '.join(left[:3])}."
        raise LoraError(path, problem, "Expected unet.<module>.lora_A/.lora_B.weight or .lora.down/.up.", key=left[0])
    return merged


def check_pair(weight: Tensor, a: Tensor, b: Tensor, path: str | Path, key: str) -> None:
    """Raises LoraError where the factors' product is of another size than the weight. key: where `a` is in the file."""
    if min(a.ndim, b.ndim) < 2 or (b.shape[0], a[0].numel()) != (weight.shape[0], weight[0].numel()):
        problem = f"{key} and its counterpart make a {b.shape[0]}x{a[0].numel()} change, but the weight is "
        raise LoraError(path, f"{problem}{list(weight.shape)}.", NOT_FOR_UNET, key=key)


def add_pair(weight: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:
    """W + scale * B A of a linear layer or a convolution: computed in float32, kept in the weight's own precision."""
    change = b.float().flatten(1) @ a.float().flatten(1)
    return torch.add(weight.float(), change.view_as(weight), alpha=scale).to(weight.dtype)


NOT_FOR_UNET = "This LoRA was made for another UNet than SD 2.1-base's."

"""Merge a LoRA into the weights it changes: W + alpha / rank * B A."""

from pathlib import Path

import torch

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
            a, b, weight = lora[key].float(), lora[other].float(), weights[target].float()
            if a.shape[0] != RANK or b.shape[1] != RANK:
                problem = f"{key} has rank {a.shape[0]} (and its counterpart {b.shape[1]}), expected {RANK}."
                raise LoraError(path, problem, "This is not OSDFace's LoRA.", key=key)
            if (b.shape[0], a[0].numel()) != (weight.shape[0], weight[0].numel()):
                problem = f"{key} and its counterpart make a {b.shape[0]}x{a[0].numel()} change, but {target} is "
                raise LoraError(path, f"{problem}{list(weight.shape)}.", NOT_FOR_UNET, key=key)
            change = b.flatten(1) @ a.flatten(1)
            merged[target] = torch.add(weight, change.view_as(weight), alpha=ALPHA / RANK).to(weights[target].dtype)
            used |= {key, other}
    left = sorted(lora.keys() - used)
    if left:
        problem = f"{len(left)} tensor(s) are not part of a LoRA pair: {', '.join(left[:3])}."
        raise LoraError(path, problem, "Expected unet.<module>.lora_A/.lora_B.weight or .lora.down/.up.", key=left[0])
    return merged


NOT_FOR_UNET = "This LoRA was made for another UNet than SD 2.1-base's."

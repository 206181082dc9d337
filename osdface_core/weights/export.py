"""A bundle back into the authors' three files: for their program, and for others that read its formats.

The bundle holds the UNet with the LoRA merged; with SD 2.1-base beside it the LoRA is what the two differ by.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import LoraError
from .authors import write_authors_files
from .bundle import load_bundle, require_osdface
from .files import Tensors
from .lora import RANK
from .sd21 import read_base

THE_SAME_BASE = "Name the SD 2.1-base that this bundle was made from."


def export(bundle: str | Path, base: str | Path, folder: str | Path) -> None:
    """Write a bundle as the authors' three files into `folder`, with what inference needs and nothing else.

    Raises a WeightsError where a file is wrong, LoraError where the bundle's UNet is not `base` with a LoRA of rank 16.
    """
    model = require_osdface(load_bundle(bundle), bundle)
    _, unet, _ = read_base(base, model.config)
    lora = extract_lora(model.unet.state_dict(), unet, bundle)
    Path(folder).mkdir(parents=True, exist_ok=True)
    write_authors_files(folder, model.vre, lora)


def extract_lora(merged: Tensors, base: Tensors, path: str | Path) -> Tensors:
    """The factors, in peft's naming and scale 1, of what `merged` adds to `base`."""
    lora: Tensors = {}
    for key, weight in merged.items():
        if key not in base or base[key].shape != weight.shape:
            raise LoraError(path, f"the base has no {key} of this size.", THE_SAME_BASE, key=key)
        change = weight.float() - base[key].float()
        rounding = 4 * torch.finfo(weight.dtype).eps * weight.float().abs().max()
        if change.abs().max() <= rounding:
            continue
        factors = low_rank(change.flatten(1), rounding) if key.endswith(".weight") and change.ndim > 1 else None
        if factors is None:
            problem = f"{key} differs from the base by more than a LoRA of rank {RANK}."
            raise LoraError(path, problem, THE_SAME_BASE, key=key)
        module, (down, up) = key.removesuffix(".weight"), factors
        lora[f"unet.{module}.lora_A.weight"] = down.reshape(len(down), *change.shape[1:])
        lora[f"unet.{module}.lora_B.weight"] = up.reshape(*up.shape, *[1] * (change.ndim - 2))
    return lora


def low_rank(change: Tensor, rounding: Tensor) -> tuple[Tensor, Tensor] | None:
    """Factors [RANK,in] and [out,RANK] whose product `change` [out,in] is, or None where it has a higher rank."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        u, s, v = torch.svd_lowrank(change, min(RANK, *change.shape), niter=4)
    if (u * s @ v.T - change).abs().max() > rounding:
        return None
    pad = (0, 0, 0, RANK - len(s))
    return F.pad((v * s.sqrt()).T, pad).contiguous(), F.pad((u * s.sqrt()).T, pad).T.contiguous()

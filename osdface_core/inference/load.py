"""Load a model, ready to restore faces on a device."""

from collections.abc import Sequence
from pathlib import Path

import torch

from ..models.diffusion import OneStepModel
from ..models.precision import Precision
from ..options import Load, Placement
from ..weights import read_model
from .offload import Offload, in_parts
from .prepare import networks, prepare


def load_model(
    weights: str | Path | None = None,
    base: str | Path | None = None,
    *,
    device: str | torch.device = Load.device,
    precision: str = Load.precision,
    decoder: str | Path | None = None,
    compiled: bool = Load.compile,
    placement: Placement = Load.placement,
    prompts: Sequence[str] | None = None,
) -> OneStepModel:
    """The model in `weights`, ready to restore faces on `device`.

    weights: a bundle, or the folder with OSDFace's authors' files, or OSEDiff's osediff_face.pkl (which both need
        `base`), or None for the built-in starter.
    base: SD 2.1-base, as a diffusers folder or a single file.
    Both may be names in the catalogue ("osdface", "sd21-base") for files that are found on this machine.
    precision: "auto", "fp32", "fp16", "bf16", or single parts as in "unet=fp16,decode=bf16". Half precision on a CPU
        halves the memory that weights take; it computes in float32 unless the CPU is made for more.
    decoder: TAESD's weights, to decode fast and approximately.
    compiled: let torch.compile make the networks' code, in minutes at the first face.
    placement: "whole" puts all of it on the device, "parts" its encoder, UNet and decoder one after the other, which
        takes half the memory and longer; "auto" does so where there is no room for the whole.
    prompts: texts that an OSEDiff model is to know beside those it holds, by the text encoder in `base`, a folder.
    Raises a WeightsError that says what is wrong with which file, ValueError for what is no precision, and OptionError,
    which is one, for what is no device or placement.
    """
    Load(str(device), placement=placement).validate()
    chosen, device = Precision.parse(precision, device), torch.device(device)
    model = read_model(weights, base, prompts=prompts)
    prepare(model, chosen, device=device, decoder=decoder, compiled=compiled)
    if not in_parts(model, device, placement):
        return model.to(device)
    model.conditioner.to(device)
    if isinstance(model.decoder, torch.nn.Module):
        model.decoder.to(device)
    model.onload = Offload(networks(model), device).onload
    return model

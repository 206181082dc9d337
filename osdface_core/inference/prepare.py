"""Make a model ready to restore faces: its parts' precision, its layout in memory, its prompt table, its compiler."""

from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from ..models.diffusion import OneStepModel
from ..models.osdface import OSDFaceModel
from ..models.precision import Precision
from ..networks.blocks import ResnetBlock, Upsample
from .compile import compile_or_not
from .tiny_decoder import TinyDecoder

Model = TypeVar("Model", bound=OneStepModel)


def prepare(
    model: Model,
    precision: Precision | None = None,
    *,
    device: str | torch.device | None = None,
    decoder: str | Path | None = None,
    compiled: bool = False,
) -> Model:
    """Make `model` ready to restore faces, in place, and return it.

    precision: what each part is stored in, and computed in where the device is quick at that; by default as it is.
    device: where the model will run, if not where it is.
    decoder: TAESD's weights, to decode fast and approximately.
    compiled: let torch.compile make the UNet's and VAE's code, in minutes at the first face; where it cannot, they run
        as they are.
    """
    device = torch.device(device or model.device)
    precision = precision or stored(model)
    model.precision = precision.computed(device)
    model.decoder = None if decoder is None else TinyDecoder(decoder).to(model.precision.decode)
    for part, modules in networks(model).items():
        computed = getattr(model.precision, part)
        for network in modules:
            kept = computed if compiled else getattr(precision, part)
            store(network, kept, computed, channels_last=device.type == "cuda")
    for network in (model.unet, model.vae):
        for block in network.modules():
            if isinstance(block, ResnetBlock | Upsample):
                block.winograd = True
    if isinstance(model, OSDFaceModel):
        model.vre.tf32 = any(dtype != torch.float32 for dtype in vars(model.precision).values())
        store(model.vre.encoder, torch.float32, torch.float32, channels_last=device.type == "cuda")
        if not model.vre.quantizer.embedding.is_meta:
            model.vre.tabulate()
    if compiled:
        compile_or_not(model.unet)
        compile_or_not(model.vae.encoder, "whole")
        compile_or_not(model.vae.decoder, "whole")
    return model


def stored(model: OneStepModel) -> Precision:
    """What the weights of each part are stored in."""
    dtypes = {part: next(modules[-1].parameters()).dtype for part, modules in networks(model).items()}
    return Precision(**dtypes)


def networks(model: OneStepModel) -> dict[str, list[nn.Module]]:
    """Which networks each part of a precision means."""
    vae = model.vae
    return {
        "encode": [vae.encoder, vae.quant_conv],
        "unet": [model.unet],
        "decode": [vae.post_quant_conv, vae.decoder],
    }


def store(network: nn.Module, stored: torch.dtype, computed: torch.dtype, *, channels_last: bool) -> None:
    """Norms are kept in what is computed, all else in what is stored; kernels with their channels last where asked."""
    for module in network.modules():
        norm = isinstance(module, nn.GroupNorm | nn.LayerNorm)
        for name, parameter in module.named_parameters(recurse=False):
            kernel = channels_last and parameter.ndim == 4
            layout = torch.channels_last if kernel else torch.preserve_format
            kept = parameter.to(computed if norm else stored, memory_format=layout)
            setattr(module, name, nn.Parameter(kept, requires_grad=False))

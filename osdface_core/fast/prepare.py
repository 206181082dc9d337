"""Prepare a model for inference: exact rewrites of its networks and a precision for every part."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ..model import OSDFaceModel
from ..one_step import OneStep
from ..vre import VRE
from ..weights import read_model
from .precision import NAMES, Precision
from .tiny_decoder import TinyDecoder

log = logging.getLogger(__name__)


class FastModel(OSDFaceModel):
    """An OSDFaceModel that `prepare` has made ready. The same interface, the same weights under the same names, but not
    to be trained: its blocks compute in place and its timestep is folded into their biases."""

    precision: Precision
    """What each part computes in; float32 from the moment a part has overflowed."""
    tiny_decoder: TinyDecoder | None
    """What decodes approximately, in place of the VAE."""
    finite: dict[str, Tensor]
    """Of the parts in half precision: whether all that the last pass made is finite. On the device, unread."""

    @property
    def one_step(self) -> OneStep:
        return replace(super().one_step, mend=self.mend)

    def dtype_of(self, part: str) -> torch.dtype:
        dtype: torch.dtype = getattr(self.precision, part)
        return dtype

    def encode(self, images: Tensor, seed: int | None) -> Tensor:
        encode = super().encode
        return self.watch("encode", singly(lambda image: encode(image, seed), channels_last(images)))

    def predict_noise(self, latents: Tensor, timestep: int, embeds: Tensor) -> Tensor:
        from .blocks import fold_timestep

        fold_timestep(self.unet, timestep, self.precision.unet)
        return self.watch("unet", super().predict_noise(latents, timestep, embeds))

    def decode(self, latents: Tensor) -> Tensor:
        if self.tiny_decoder is not None:
            tiny: Tensor = self.tiny_decoder(latents)
            return tiny
        return self.watch("decode", singly(super().decode, channels_last(latents)))

    def watch(self, part: str, made: Tensor) -> Tensor:
        if self.dtype_of(part) != torch.float32:
            self.finite[part] = made.isfinite().all()
        return made

    def mend(self) -> bool:
        """Bring the first part that overflowed to float32. Returns whether there was one: then the pass is void."""
        broken = [part for part in ("encode", "unet", "decode") if part in self.finite and not self.finite[part]]
        self.finite.clear()
        if not broken:
            return False
        part = broken[0]
        log.warning("OSDFace: %s overflows in %s: from now on in fp32.", part, NAMES[self.dtype_of(part)])
        self.precision = replace(self.precision, **{part: torch.float32})
        for network in networks(self)[part]:
            network.float()
        return True


class FastVRE(VRE):
    """A VRE whose prompt MLP has been asked all there is to ask: a row for every dictionary entry, one for padding."""

    table: Tensor
    """A buffer once it is there, so that it goes wherever the weights go."""

    def see(self, images: Tensor) -> Tensor:
        return singly(super().see, images)

    def project(self, token_ids: Tensor) -> Tensor:
        if "table" not in self._buffers or self.table.device != token_ids.device:
            table = super().project(torch.arange(-1, self.config.codes, device=token_ids.device))
            self.register_buffer("table", table, persistent=False)
        return self.table[token_ids + 1]


def singly(work: Callable[[Tensor], Tensor], faces: Tensor) -> Tensor:
    """work(faces), on a CPU one face after the other: there many at once take no less time, and as often the memory."""
    return torch.cat([work(face) for face in faces.split(1)]) if faces.device.type == "cpu" else work(faces)


def channels_last(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last)


def load_prepared(
    weights: str | Path | None = None,
    base: str | Path | None = None,
    *,
    device: str | torch.device = "cpu",
    precision: str = "auto",
    decoder: str | Path | None = None,
    compiled: bool = False,
) -> FastModel:
    """The model in `weights`, ready to restore faces on `device`: `load_model` and `prepare` in one.

    precision: "auto", "fp32", "fp16", "bf16", or single parts as in "unet=fp16,decode=bf16". Half precision on a CPU
        halves the memory that weights take; it computes in float32 unless the CPU is made for more.
    Raises a WeightsError as `load_model` does, and ValueError for what is no precision.
    """
    chosen = Precision.parse(precision, device)
    model = prepare(read_model(weights, base), chosen, device=device, decoder=decoder, compiled=compiled)
    return model.to(device)


def prepare(
    model: OSDFaceModel,
    precision: Precision | None = None,
    *,
    device: str | torch.device | None = None,
    decoder: str | Path | None = None,
    compiled: bool = False,
) -> FastModel:
    """Make `model` ready to restore faces, in place, and return it.

    precision: what each part is stored in, and computed in where the device is quick at that; by default as it is.
    device: where the model will run, if not where it is.
    decoder: TAESD's weights, to decode fast and approximately.
    compiled: let torch.compile make the UNet's and VAE's code, in minutes at the first face; where it cannot, they run
        as they are.
    """
    from .blocks import rewrite

    device = torch.device(device or model.vae.device)
    if precision is None:
        precision = Precision(model.vae.dtype, model.unet.dtype, model.vae.dtype)
    model.__class__, model.vre.__class__ = FastModel, FastVRE
    assert isinstance(model, FastModel)
    model.precision, model.finite = precision.computed(device), {}
    model.tiny_decoder = None if decoder is None else TinyDecoder(decoder).to(model.dtype_of("decode"))
    rewrite(model.vre.encoder, winograd=False)
    for part, modules in networks(model).items():
        for network in modules:
            rewrite(network)
            store(network, getattr(precision, part), model.dtype_of(part))
            if device.type == "cuda":
                nn.Module.to(network, memory_format=torch.channels_last)  # type: ignore[call-overload]
            if compiled:
                compile_or_not(network)
    return model


def networks(model: OSDFaceModel) -> dict[str, list[nn.Module]]:
    """Which networks each part of a precision means."""
    vae = model.vae
    return {
        "encode": [vae.encoder, vae.quant_conv],
        "unet": [model.unet],
        "decode": [vae.post_quant_conv, vae.decoder],
    }


def store(network: nn.Module, stored: torch.dtype, computed: torch.dtype) -> None:
    """Norms are kept in what is computed, all else in what is stored."""
    for module in network.modules():
        norm = isinstance(module, nn.GroupNorm | nn.LayerNorm)
        for name, parameter in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(parameter.to(computed if norm else stored), requires_grad=False))


def compile_or_not(network: nn.Module) -> None:
    """Compile in place; where that fails, once a first input is there, run the network as it is."""
    plain = network.forward
    quick = torch.compile(plain)

    def forward(*inputs: object, **options: object) -> object:
        nonlocal quick
        try:
            return quick(*inputs, **options)
        except torch._dynamo.exc.TorchDynamoException as error:
            if quick is plain:
                raise
            log.warning("OSDFace: %s cannot be compiled, it runs as it is (%s).", type(network).__name__, error)
            quick = plain
            return plain(*inputs, **options)

    network.forward = forward

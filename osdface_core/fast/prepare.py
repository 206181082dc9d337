"""Prepare a model for inference: exact rewrites of its networks and a precision for every part."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ..batches import upload
from ..model import OSDFaceModel
from ..one_step import OneStep
from ..vre import VRE
from ..weights import read_model
from .placement import Placement, Turns, in_parts
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
    """Of the parts in half precision: whether all that the pass in progress made is finite. On the device, unread."""
    turns: Turns | None = None
    """Which part is on the device, where they take turns."""

    @property
    def one_step(self) -> OneStep:
        return replace(super().one_step, verdict=self.verdict)

    def dtype_of(self, part: str) -> torch.dtype:
        dtype: torch.dtype = getattr(self.precision, part)
        return dtype

    def encode(self, images: Tensor, seed: int | None) -> Tensor:
        self.bring("encode")
        encode, images = super().encode, upload(images, self.vae.device)
        return self.watch("encode", singly(lambda image: encode(image, seed), channels_last(images)))

    def predict_noise(self, latents: Tensor, timestep: int, embeds: Tensor) -> Tensor:
        from .blocks import fold_timestep

        self.bring("unet")
        fold_timestep(self.unet, timestep, self.precision.unet)
        return self.watch("unet", super().predict_noise(latents, timestep, embeds))

    def decode(self, latents: Tensor) -> Tensor:
        if self.tiny_decoder is not None:
            tiny: Tensor = self.tiny_decoder(latents)
            return tiny
        self.bring("decode")
        return self.watch("decode", singly(super().decode, channels_last(latents)))

    def bring(self, part: str) -> None:
        if self.turns is not None:
            self.turns.bring(part)

    def watch(self, part: str, made: Tensor) -> Tensor:
        if self.dtype_of(part) != torch.float32:
            self.finite[part] = made.isfinite().all()
        return made

    def verdict(self) -> Callable[[], bool]:
        finite, self.finite = self.finite, {}
        return lambda: self.mend(finite)

    def mend(self, finite: dict[str, Tensor]) -> bool:
        """Bring the first part that overflowed to float32. Returns whether there was one: then the pass is void."""
        broken = [part for part in ("encode", "unet", "decode") if part in finite and not finite[part]]
        if not broken:
            return False
        part = broken[0]
        if self.dtype_of(part) == torch.float32:  # mended after an earlier pass, when this one had begun
            return True
        log.warning("OSDFace: %s overflows in %s: from now on in fp32.", part, NAMES[self.dtype_of(part)])
        self.precision = replace(self.precision, **{part: torch.float32})
        if self.turns is not None:
            self.turns.clear()
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
    placement: Placement = "auto",
) -> FastModel:
    """The model in `weights`, ready to restore faces on `device`: `load_model` and `prepare` in one.

    precision: "auto", "fp32", "fp16", "bf16", or single parts as in "unet=fp16,decode=bf16". Half precision on a CPU
        halves the memory that weights take; it computes in float32 unless the CPU is made for more.
    placement: "whole" puts all of it on the device, "parts" its encoder, UNet and decoder one after the other, which
        takes half the memory and longer; "auto" does so where there is no room for the whole.
    Raises a WeightsError as `load_model` does, and ValueError for what is no precision or placement.
    """
    chosen, device = Precision.parse(precision, device), torch.device(device)
    model = prepare(read_model(weights, base), chosen, device=device, decoder=decoder, compiled=compiled)
    if not in_parts(model, device, placement):
        return model.to(device)
    model.vre.to(device)
    if model.tiny_decoder is not None:
        model.tiny_decoder.to(device)
    model.turns = Turns(networks(model), device)
    return model


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
            store(network, getattr(precision, part), model.dtype_of(part), channels_last=device.type == "cuda")
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


def store(network: nn.Module, stored: torch.dtype, computed: torch.dtype, *, channels_last: bool) -> None:
    """Norms are kept in what is computed, all else in what is stored; kernels with their channels last where asked."""
    for module in network.modules():
        norm = isinstance(module, nn.GroupNorm | nn.LayerNorm)
        for name, parameter in module.named_parameters(recurse=False):
            kernel = channels_last and parameter.ndim == 4
            layout = torch.channels_last if kernel else torch.preserve_format
            kept = parameter.to(computed if norm else stored, memory_format=layout)
            setattr(module, name, nn.Parameter(kept, requires_grad=False))


def compile_or_not(network: nn.Module) -> None:
    """Compile in place; where that fails, once a first input is there, run the network as it is. PyTorch keeps what it
    compiled on disk, so the minutes are spent once for each size and version."""
    plain, name = network.forward, type(network).__name__
    quick = torch.compile(plain)
    sizes: set[object] = set()

    def forward(*inputs: object, **options: object) -> object:
        nonlocal quick
        size = inputs[0].shape if isinstance(inputs[0], Tensor) else None
        new = quick is not plain and size not in sizes
        started = time.perf_counter()
        if new:
            sizes.add(size)
            log.info("OSDFace: compiling %s for %s: this may take minutes.", name, "x".join(map(str, size or ())))
        try:
            made = quick(*inputs, **options)
        except torch._dynamo.exc.TorchDynamoException as error:
            if quick is plain:
                raise
            log.warning("OSDFace: %s cannot be compiled, it runs as it is (%s).", name, error)
            quick = plain
            return plain(*inputs, **options)
        if new:
            log.info("OSDFace: %s is ready after %.0f s.", name, time.perf_counter() - started)
        return made

    network.forward = forward

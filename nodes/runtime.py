"""The only room that knows ComfyUI's insides: devices, memory, progress and interrupts."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import comfy.model_management
import comfy.model_patcher
import comfy.utils
import torch

from ..osdface_core.batches import OnBatch
from ..osdface_core.inference import prepare
from ..osdface_core.memory import HELD, face_bytes, faces_that_fit
from ..osdface_core.model import OSDFaceModel
from ..osdface_core.one_step import OneStep
from ..osdface_core.precision import DTYPES, Precision
from ..osdface_core.vre import VRE
from ..osdface_core.weights import read_model
from ..osdface_core.weights.download import OnProgress
from .folders import FULL, SAME, base_path, decoder_path, fingerprint, weights_path

Loaded = TypeVar("Loaded")

GIGABYTE = 1e9
PARSING = 0.6 * GIGABYTE
"""What a face parser takes for a face, beside its weights."""

log = logging.getLogger(__name__)


# -- networks under ComfyUI's memory management ---------------------------------------------------------------------


class Resident:
    """Networks that ComfyUI moves between memories.

    notice: what a user has to be told about their weights.
    """

    def __init__(self, networks: torch.nn.Module):
        self.notice: str = getattr(networks, "notice", "")
        self.patcher = comfy.model_patcher.ModelPatcher(
            networks,
            load_device=comfy.model_management.get_torch_device(),
            offload_device=comfy.model_management.unet_offload_device(),
        )

    def use(self, memory: float = 0) -> Any:
        """The networks, whole, on the device that computes, with `memory` bytes free beside them."""
        comfy.model_management.load_models_gpu([self.patcher], memory_required=memory, force_full_load=True)
        return self.patcher.model


class Weights:
    """OSDFace's networks, as all nodes share them."""

    def __init__(self, model: OSDFaceModel):
        if model.notice:
            log.warning("OSDFace: %s", model.notice)
        self.notice, self.crop_size = model.notice, model.config.crop_size
        self.resident = Resident(model)

    def vre(self, faces: int) -> VRE:
        """The embedder, ready for so many faces at once."""
        return self.resident.use(HELD["vre"] * faces).vre

    def one_step(self, faces: int) -> OneStep:
        """The restorer, ready for so many faces at once."""
        return self.resident.use(face_bytes(self.resident.patcher.model) * faces).one_step

    def at_once(self, faces: int) -> int:
        """As many of these as a graphics card holds at once beside the weights."""
        card = self.resident.patcher.load_device
        if card.type == "cpu":
            return faces
        kept = comfy.model_management.extra_reserved_memory() + self.resident.patcher.model_size()
        free = comfy.model_management.get_total_memory(card) - kept
        return faces_that_fit(self.resident.patcher.model, free, most=faces)


_shared: WeakValueDictionary[tuple[Any, ...], Any] = WeakValueDictionary()
"""One copy of whatever is loaded, for as long as some node's output holds it."""


def share(key: tuple[Any, ...], load: Callable[[], Loaded]) -> Loaded:
    loaded = _shared.get(key)
    if loaded is None:
        _shared[key] = loaded = load()
    return loaded


def shared_weights(
    option: str,
    base: str,
    precision: str,
    encode_precision: str = SAME,
    decode_precision: str = SAME,
    decoder: str = FULL,
    compiled: bool = False,
) -> Weights:
    """The networks of these options: the copy that is loaded already, if any."""
    path, device = weights_path(option), comfy.model_management.get_torch_device()
    sd21 = base_path(base) if path is not None and path.is_dir() else None
    unet = choose_dtype(precision)
    encode, decode = (unet if part == SAME else DTYPES[part] for part in (encode_precision, decode_precision))
    chosen, tiny = Precision(encode, unet, decode), decoder_path(decoder)
    key = ("weights", fingerprint(path), fingerprint(sd21), chosen, fingerprint(tiny), compiled)

    def load() -> Weights:
        model = read_model(path, sd21)
        return Weights(prepare(model, chosen, device=device, decoder=tiny, compiled=compiled))

    return share(key, load)


def shared_network(path: Path, read: Callable[[Path], torch.nn.Module]) -> Resident:
    """The network that `read` gets out of this file: the copy that is loaded already, if any."""
    return share((read, fingerprint(path)), lambda: Resident(read(path)))


def choose_dtype(precision: str) -> torch.dtype:
    """fp16 keeps the image better than bf16 (71 dB against 54 dB): "auto" takes it where the device is made for it."""
    if precision in DTYPES:
        return DTYPES[precision]
    device = comfy.model_management.get_torch_device()
    return torch.float16 if comfy.model_management.should_use_fp16(device) else torch.float32


# -- while a node works ---------------------------------------------------------------------------------------------


def progress(total: int) -> OnBatch:
    """A progress bar on the node, up to `total`, for the core's `on_batch`; an interrupt by the user ends the work."""
    bar = comfy.utils.ProgressBar(max(total, 1))
    comfy.model_management.throw_exception_if_processing_interrupted()

    def on_batch(done: int, _count: int) -> None:
        bar.update_absolute(done, total)
        comfy.model_management.throw_exception_if_processing_interrupted()

    return on_batch


def download_progress() -> OnProgress:
    """Each file's bytes on the node's progress bar; an interrupt by the user ends the download, to be resumed later."""
    bar = comfy.utils.ProgressBar(1)

    def on_progress(_path: str, done: int, total: int | None) -> None:
        bar.update_absolute(done, total or done)
        comfy.model_management.throw_exception_if_processing_interrupted()

    return on_progress


def intermediate(tensor: torch.Tensor) -> torch.Tensor:
    """Results live where ComfyUI keeps what travels between nodes."""
    return tensor.to(comfy.model_management.intermediate_device())

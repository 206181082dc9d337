"""The only room that knows ComfyUI's insides: devices, memory, progress and interrupts."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import comfy.model_management
import comfy.model_patcher
import comfy.utils
import torch
from comfy.ops import CastWeightBiasOp
from server import PromptServer
from torch import nn

from ..osdface_core.batches import OnBatch
from ..osdface_core.inference import networks, prepare
from ..osdface_core.inference.memory import HELD, MOST, face_bytes, that_fit, weight_bytes
from ..osdface_core.inference.spandrel import FaceNetwork, SpandrelRestorer
from ..osdface_core.models.diffusion import OneStepModel
from ..osdface_core.models.one_step import OneStep
from ..osdface_core.models.osdface import OSDFaceModel
from ..osdface_core.models.osediff import OSEDiffModel, TextPrompts
from ..osdface_core.models.precision import DTYPES, NAMES, Precision
from ..osdface_core.models.restorer import OneStepRestorer, OSDFaceRestorer, OSEDiffRestorer
from ..osdface_core.models.vre import VRE
from ..osdface_core.networks.operations import TORCH
from ..osdface_core.weights import read_model
from ..osdface_core.weights.spandrel import read_restorer
from .folders import FULL, base_path, decoder_path, fingerprint, weights_path
from .operations import COMFYUI
from .widgets import SAME

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

    def __init__(self, networks: nn.Module, device: torch.device | None = None, offload: torch.device | None = None):
        """device, offload: where they compute and where they wait, if not where ComfyUI's diffusion models do."""
        management = comfy.model_management
        self.notice: str = getattr(networks, "notice", "")
        self.partial = any(isinstance(module, CastWeightBiasOp) for module in networks.modules())
        """Whether weights may stay behind, to be copied when they are needed."""
        self.patcher = comfy.model_patcher.CoreModelPatcher(
            networks,
            load_device=device or management.get_torch_device(),
            offload_device=offload or management.unet_offload_device(),
        )

    def use(self, memory: float = 0) -> Any:
        """The networks, ready on the device that computes, with `memory` bytes free beside them."""
        load([self], memory)
        return self.patcher.model

    def settle(self) -> None:
        """Bring what ComfyUI left behind, short of memory or under --novram, although nothing would copy it later."""
        device = self.patcher.load_device
        for module in self.patcher.model.modules():
            if not isinstance(module, CastWeightBiasOp):
                for name, parameter in list(module.named_parameters(recurse=False)):
                    there = parameter.to(device)
                    if there is not parameter:
                        setattr(module, name, nn.Parameter(there, requires_grad=False))
                for name, buffer in list(module.named_buffers(recurse=False)):
                    setattr(module, name, buffer.to(device))


def load(residents: list[Resident], memory: float) -> None:
    """Have ComfyUI bring them to where they compute, with `memory` bytes free beside them."""
    comfy.model_management.load_models_gpu(
        [resident.patcher for resident in residents],
        memory_required=memory,
        force_full_load=not all(resident.partial for resident in residents),
    )
    for resident in residents:
        resident.settle()


class Weights(OneStepRestorer):
    """A model's networks, as all nodes share them."""

    def __init__(self, model: OneStepModel, vae_device: torch.device):
        if model.notice:
            log.warning("OSDFace: %s", model.notice)
        self.notice, self.crop_size = model.notice, model.config.crop_size
        self.model, parts = model, networks(model)
        decoder = [model.decoder] if isinstance(model.decoder, nn.Module) else parts["decode"]
        self.unet = Resident(nn.ModuleList([model.conditioner, *parts["unet"]]))
        vae = nn.ModuleList([*parts["encode"], *decoder])
        self.vae = Resident(vae, vae_device, comfy.model_management.vae_offload_device())

    def one_step(self, faces: int) -> OneStep:
        """The restorer, ready for so many faces at once."""
        load([self.unet, self.vae], face_bytes(self.model) * faces)
        return self.model.one_step

    def at_once(self, faces: int, batch_size: int | None = None) -> int:
        """No more than a graphics card holds beside the weights: ComfyUI makes room for them before they come."""
        card, wanted = self.unet.patcher.load_device, min(batch_size or MOST, faces)
        return held_at_once(card, weight_bytes(self.model), face_bytes(self.model), wanted)


class OSDFaceWeights(Weights, OSDFaceRestorer):
    model: OSDFaceModel

    def vre(self, faces: int) -> VRE:
        """The embedder, ready for so many faces at once."""
        self.model.check_files()
        load([self.unet], HELD["vre"] * faces)
        return self.model.vre


class OSEDiffWeights(Weights, OSEDiffRestorer):
    model: OSEDiffModel

    @property
    def texts(self) -> TextPrompts:
        return self.model.texts


class OtherRestorer(SpandrelRestorer):
    """A face restorer of spandrel's, as all nodes share it."""

    def __init__(self, network: FaceNetwork):
        super().__init__(network)
        self.resident = Resident(network)

    def ready(self, faces: int) -> FaceNetwork:
        network: FaceNetwork = self.resident.use(self.network.face_bytes * faces)
        return network

    def at_once(self, faces: int, batch_size: int | None = None) -> int:
        """No more than a graphics card holds; one in main memory, where a batch saves no time."""
        card, wanted = self.resident.patcher.load_device, min(batch_size or MOST, faces)
        if card.type == "cpu":
            return 1
        return held_at_once(card, weight_bytes(self.network), self.network.face_bytes, wanted)


def held_at_once(card: torch.device, weights: float, each: float, faces: int) -> int:
    """How many of so many faces, of `each` so many bytes, a card holds beside weights; in main memory all of them."""
    if card.type == "cpu":
        return faces
    management = comfy.model_management
    free = management.get_total_memory(card) - management.extra_reserved_memory() - weights
    return that_fit(each, free, most=faces)


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
    chosen, tiny = choose_precision(precision, encode_precision, decode_precision), decoder_path(decoder)
    key = ("weights", fingerprint(path), fingerprint(sd21), chosen, fingerprint(tiny), compiled)

    def load_them() -> Weights:
        model = read_model(path, sd21, ops=TORCH if compiled else COMFYUI)
        prepare(model, chosen, device=device, decoder=tiny, compiled=compiled)
        vae_device = comfy.model_management.vae_device()
        if vae_device != device:
            model.vae_device, computed = vae_device, chosen.computed(vae_device)
            model.precision = replace(model.precision, encode=computed.encode, decode=computed.decode)
        if comfy.model_management.force_channels_last():
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return (OSEDiffWeights if isinstance(model, OSEDiffModel) else OSDFaceWeights)(model, vae_device)

    return share(key, load_them)


def shared_network(path: Path, read: Callable[[Path], torch.nn.Module]) -> Resident:
    """The network that `read` gets out of this file: the copy that is loaded already, if any."""
    return share((read, fingerprint(path)), lambda: Resident(read(path)))


def shared_restorer(path: Path) -> OtherRestorer:
    """The face restorer in this file: the copy that is loaded already, if any. In float32, unless ComfyUI was started
    with another precision that the network is made for."""

    def load_it() -> OtherRestorer:
        network, management = FaceNetwork(read_restorer(path)), comfy.model_management
        dtype = management.unet_dtype(management.get_torch_device(), supported_dtypes=[torch.float32])
        if dtype in network.precisions:
            network.to(dtype)
        return OtherRestorer(network)

    return share(("restorer", fingerprint(path)), load_it)


def choose_precision(precision: str, encode: str, decode: str) -> Precision:
    """What a node's widgets say; where they leave it open, what ComfyUI was started with; else fp16, which keeps the
    image better than bf16 (71 dB against 54 dB), where the device is made for it."""
    management = comfy.model_management
    if precision in DTYPES:
        unet = vae = DTYPES[precision]
    else:
        device, choice = management.get_torch_device(), [torch.float16, torch.float32]
        unet = management.unet_dtype(device, supported_dtypes=choice)
        if unet not in NAMES:
            log.warning("OSDFace: %s is nothing that it can be stored in; it takes another precision.", unet)
            unet = torch.float16 if management.should_use_fp16(device) else torch.float32
        vae = management.vae_dtype(device, choice)
    return Precision(DTYPES.get(encode, vae), unet, DTYPES.get(decode, vae))


# -- while a node works ---------------------------------------------------------------------------------------------


def progress() -> OnBatch:
    """A progress bar on the node, for the core's `on_batch`; an interrupt by the user ends the work."""
    bar = comfy.utils.ProgressBar(1)
    comfy.model_management.throw_exception_if_processing_interrupted()

    def on_batch(done: int, count: int) -> None:
        bar.update_absolute(done, count)
        comfy.model_management.throw_exception_if_processing_interrupted()

    return on_batch


def download_progress() -> Callable[[str, int, int | None], None]:
    """Each file's bytes on the node, in figures and as its progress bar; an interrupt by the user ends the download, to
    be resumed later."""
    bar, said, last = comfy.utils.ProgressBar(1), dict[str, str](), 0.0

    def on_progress(path: str, done: int, total: int | None) -> None:
        nonlocal last
        bar.update_absolute(done, total or done)
        said[path] = f"{path}: {done / 1e6:.1f} of {total / 1e6:.1f} MB" if total else f"{path}: {done / 1e6:.1f} MB"
        if done == total or time.monotonic() - last > 0.25:
            last = time.monotonic()
            say("\n".join(said.values()))
        comfy.model_management.throw_exception_if_processing_interrupted()

    return on_progress


def say(text: str) -> None:
    """On the node that runs, while it does (web/message.js)."""
    server = PromptServer.instance
    server.send_sync("osdface.message", {"node": server.last_node_id, "text": text}, server.client_id)


def intermediate(tensor: torch.Tensor) -> torch.Tensor:
    """Results live where ComfyUI keeps what travels between nodes."""
    return tensor.to(comfy.model_management.intermediate_device())

"""Load a face detector: which there are, where their weights are, and facexlib's network for them."""

import warnings
from pathlib import Path
from typing import Any

import torch

from .detect import RetinaFace
from .errors import KeysError, NotACheckpointError, WeightsNotFoundError
from .weights.catalog import entry_of
from .weights.files import Tensors, fill, read_tensors
from .weights.find import find

DETECTORS = {
    "retinaface_resnet50": "detection_Resnet50_Final.pth",
    "retinaface_mobile0.25": "detection_mobilenet0.25_Final.pth",
}
"""facexlib's names for its detectors, best first, and the files of their weights."""

STARTER = Path(__file__).parent / "weights" / "starter" / "detector.safetensors"
"""The detector that comes with the package."""


def load_detector(weights: str | Path | None = None, *, device: str | torch.device = "cpu") -> RetinaFace:
    """A RetinaFace from a weights file, or by facexlib's name where its weights are on this machine.

    weights: a file, "retinaface_resnet50", "retinaface_mobile0.25", "starter" for the one that comes with the package,
        or None for the best one that is there.
    Raises a WeightsError where there is none of that name, or the file is not one of these two networks.
    """
    path = find_weights(None if weights is None else str(weights))
    stored, metadata = read_tensors(path)
    tensors = {key.removeprefix("module."): tensor for key, tensor in stored.items()}
    network = build_network(path, tensors)
    try:
        fill(network, tensors, path)
    except KeysError as error:
        raise NotACheckpointError(path, f"this is no RetinaFace of facexlib ({error}).", where_to_get()) from error
    return RetinaFace(network.eval().float().to(device), metadata.get("notice", ""))


def find_weights(weights: str | None) -> Path:
    if weights is None:
        there = (find(entry_of(file)) for file in DETECTORS.values())
        return next(filter(None, there), STARTER)
    if weights == "starter":
        return STARTER
    if weights not in DETECTORS:
        return Path(weights)
    entry = entry_of(DETECTORS[weights])
    path = find(entry)
    if path is None:
        raise WeightsNotFoundError(DETECTORS[weights], "it is not on this machine.", entry.how_to_get)
    return path


def where_to_get() -> str:
    return entry_of(next(iter(DETECTORS.values()))).how_to_get


def build_network(path: Path, tensors: Tensors) -> Any:
    """The architecture that these tensors belong to."""
    if "body.layer1.0.conv1.weight" in tensors:
        return new_network("resnet50")
    if "body.stage1.0.0.weight" in tensors:
        return new_network("mobile0.25")
    raise NotACheckpointError(path, "this is no RetinaFace of facexlib.", where_to_get())


def new_network(name: str) -> Any:
    """facexlib's RetinaFace, "resnet50" or "mobile0.25", untrained."""
    from facexlib.detection.retinaface import RetinaFace as Network

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="torchvision")
        network = Network(network_name=name, device=torch.device("cpu"))
    mean = network.__dict__.pop("mean_tensor")
    network.register_buffer("mean_tensor", mean, persistent=False)  # which moves with the network
    return network

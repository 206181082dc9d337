"""Load a face detector: which there are, where their weights are, and the network that they belong to."""

from pathlib import Path
from typing import Any

import torch

from ..errors import KeysError, NotACheckpointError, WeightsNotFoundError
from ..networks.retinaface import RetinaFaceConfig, RetinaFaceNet, fold_norms
from ..weights.catalog import entry_of
from ..weights.files import Tensors, fill, read_tensors
from ..weights.find import find
from .detector import RetinaFace

DETECTORS = {
    "retinaface_resnet50": "detection_Resnet50_Final.pth",
    "retinaface_mobile0.25": "detection_mobilenet0.25_Final.pth",
}
"""facexlib's names for its detectors, best first, and the files of their weights."""

STARTER = Path(__file__).parents[1] / "weights" / "starter" / "detector.safetensors"
"""The detector that comes with the package."""

FIRST_LAYERS = {"resnet50": "body.conv1.weight", "mobile0.25": "body.stage1.0.0.weight"}
"""What the files of each body have."""


def load_detector(weights: str | Path | None = None, *, device: str | torch.device = "cpu") -> RetinaFace:
    """A RetinaFace from a weights file, or by name where its weights are on this machine.

    weights: a file; the catalogue's name of one, "retinaface-resnet50" or "retinaface-mobile0.25", or facexlib's, with
        an underscore; "starter" for the one that comes with the package; or None for the best one that is there.
    Raises a WeightsError where there is none of that name, or the file is not one of these two networks.
    """
    network, notice = load_retinaface(weights)
    return RetinaFace(fold_norms(network).to(device), notice)


def load_retinaface(weights: str | Path | None = None) -> tuple[RetinaFaceNet, str]:
    """The network alone, with every layer as it was trained, and the notice of its weights: as `load_detector` does."""
    path = find_weights(None if weights is None else str(weights))
    stored, metadata = read_tensors(path)
    tensors = {key.removeprefix("module."): tensor for key, tensor in stored.items()}
    with torch.device("meta"):
        network: Any = RetinaFaceNet(config_of(path, tensors))
    try:
        fill(network, tensors, path)
    except KeysError as error:
        raise NotACheckpointError(path, f"this is no RetinaFace of facexlib ({error}).", where_to_get()) from error
    return network.eval().float().to(memory_format=torch.channels_last), metadata.get("notice", "")


def find_weights(weights: str | None) -> Path:
    if weights is None:
        there = (find(entry_of(file)) for file in DETECTORS.values())
        return next(filter(None, there), STARTER)
    if weights == "starter":
        return STARTER
    file = DETECTORS.get(weights.replace("retinaface-", "retinaface_"))
    if file is None:
        return Path(weights)
    entry = entry_of(file)
    path = find(entry)
    if path is None:
        raise WeightsNotFoundError(file, "it is not on this machine.", entry.how_to_get)
    return path


def where_to_get() -> str:
    return entry_of(next(iter(DETECTORS.values()))).how_to_get


def config_of(path: Path, tensors: Tensors) -> RetinaFaceConfig:
    """The architecture that these tensors belong to."""
    for body, key in FIRST_LAYERS.items():
        if key in tensors:
            return RetinaFaceConfig(body)
    raise NotACheckpointError(path, "this is no RetinaFace of facexlib.", where_to_get())

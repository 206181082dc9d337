"""The bundle: a whole model in one safetensors file, LoRA merged, with its configuration and its provenance."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch

from ..command import command
from ..errors import NotACheckpointError
from ..models.osdface import ModelConfig, OSDFaceModel
from ..networks.operations import TORCH, Operations
from .files import fill, mapped_files, read_tensors, sha256, write_tensors

FORMAT = "1"
"""Raised when a bundle changes in a way that older versions cannot read."""

LICENCES = (
    "OSDFace's own weights: their authors state no licence, so all rights are reserved; do not pass them on. "
    "SD 2.1-base: CreativeML Open RAIL++-M, with restrictions on use. "
    "This file holds both: keep it to yourself, and keep to those terms."
)


def save_bundle(
    model: OSDFaceModel,
    path: str | Path,
    *,
    dtype: torch.dtype = torch.float32,
    sources: Iterable[Path] = (),
    licences: str = LICENCES,
) -> None:
    """Write `model` to `path`, whole or not at all.

    dtype: of the UNet and VAE; the VRE always stays in float32, where its tokens are exact.
    sources: the files the model was made from; their names, sizes and sha256 go into the metadata.
    Raises OSError where it cannot be written, for instance because there is no room.
    """
    origin = [{"name": file.name, "bytes": file.stat().st_size, "sha256": sha256(file)} for file in sources]
    metadata = {
        "osdface_bundle": FORMAT,
        "config": json.dumps(model.config.to_json()),
        "sources": json.dumps(origin),
        "licences": licences,
        "notice": model.notice,
    }
    tensors = {
        key: (tensor if key.startswith("vre.") else tensor.to(dtype)).contiguous()
        for key, tensor in model.state_dict().items()
    }
    write_tensors(path, tensors, metadata)


def load_bundle(path: str | Path, ops: Operations = TORCH) -> OSDFaceModel:
    """The model in a bundle, in the precision it is stored in, its weights memory-mapped from the file.

    Raises a WeightsError where the file is no bundle, or a damaged one.
    """
    files = mapped_files(Path(path))
    tensors, metadata = read_tensors(path)
    config = bundle_config(path, metadata)
    with torch.device("meta"):
        model = OSDFaceModel(config, metadata.get("notice", ""), ops)
    fill(model, tensors, path)
    model.files = files
    return model


def bundle_config(path: str | Path, metadata: Mapping[str, str]) -> ModelConfig:
    if metadata.get("osdface_bundle") != FORMAT:
        raise NotACheckpointError(
            path,
            f"this is no OSDFace bundle of format {FORMAT} (found {metadata.get('osdface_bundle')!r}).",
            f"Make one from the authors' files with `{command()} weights convert`, or name the folder that holds them.",
        )
    try:
        return ModelConfig.from_json(json.loads(metadata["config"]))
    except (KeyError, ValueError, RecursionError) as error:
        problem = f"its configuration cannot be read ({type(error).__name__}: {error})."
        raise NotACheckpointError(
            path, problem, "It may come from a newer version: update, or convert again."
        ) from error

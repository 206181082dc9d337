"""The bundle: a whole model in one safetensors file, LoRA merged, with its configuration and its provenance."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch

from ..command import command
from ..errors import NotACheckpointError
from ..models.diffusion import DiffusionConfig, OneStepModel
from ..models.osdface import ModelConfig, OSDFaceModel
from ..models.osediff import OSEDiffConfig, OSEDiffModel
from ..networks.operations import TORCH, Operations
from .files import fill, mapped_files, read_tensors, sha256, write_tensors

FORMAT = "1"
"""Raised when a bundle changes in a way that older versions cannot read."""

KINDS: dict[str, tuple[type[DiffusionConfig], type[OneStepModel]]] = {
    "osdface": (ModelConfig, OSDFaceModel),
    "osediff": (OSEDiffConfig, OSEDiffModel),
}
"""The models that bundles hold, by what their metadata calls them. A bundle that says nothing holds the first."""
HALVES = "unet.", "vae."
"""What the names of the tensors begin with that may be stored in less precision."""

LICENCES = {
    "osdface": "OSDFace's own weights: their authors state no licence, so all rights are reserved; do not pass them "
    "on. SD 2.1-base: CreativeML Open RAIL++-M, with restrictions on use. "
    "This file holds both: keep it to yourself, and keep to those terms.",
    "osediff": "OSEDiff's face model: its authors' repository is under Apache-2.0 and says nothing of the weights in "
    "it, which were trained on FFHQ (CC BY-NC-SA 4.0). SD 2.1-base: CreativeML Open RAIL++-M, with restrictions on "
    "use. This file holds both: do not pass it on, and keep to those terms.",
}


def save_bundle(
    model: OneStepModel,
    path: str | Path,
    *,
    dtype: torch.dtype = torch.float32,
    sources: Iterable[Path] = (),
    licences: str | None = None,
) -> None:
    """Write `model` to `path`, whole or not at all.

    dtype: of the UNet and VAE; the VRE, whose tokens are exact in float32 alone, and texts always stay in that.
    sources: the files the model was made from; their names, sizes and sha256 go into the metadata.
    licences: the terms that go with it; by default those of the authors' weights.
    Raises OSError where it cannot be written, for instance because there is no room.
    """
    kind = next(kind for kind, (_, model_class) in KINDS.items() if isinstance(model, model_class))
    origin = [{"name": file.name, "bytes": file.stat().st_size, "sha256": sha256(file)} for file in sources]
    metadata = {
        "osdface_bundle": FORMAT,
        "kind": kind,
        "config": json.dumps(model.config.to_json()),
        "sources": json.dumps(origin),
        "licences": LICENCES[kind] if licences is None else licences,
        "notice": model.notice,
    }
    tensors = {
        key: (tensor.to(dtype) if key.startswith(HALVES) else tensor).contiguous()
        for key, tensor in model.state_dict().items()
    }
    write_tensors(path, tensors, metadata)


def load_bundle(path: str | Path, ops: Operations = TORCH) -> OneStepModel:
    """The model in a bundle, in the precision it is stored in, its weights memory-mapped from the file.

    Raises a WeightsError where the file is no bundle, or a damaged one.
    """
    files = mapped_files(Path(path))
    tensors, metadata = read_tensors(path)
    config, model_class = bundle_config(path, metadata)
    with torch.device("meta"):
        model = model_class(config, metadata.get("notice", ""), ops)
    fill(model, tensors, path)
    model.files = files
    return model


def require_osdface(model: OneStepModel, path: str | Path | None) -> OSDFaceModel:
    """The model, where nothing but OSDFace will do. Raises NotACheckpointError for another one, read from `path`."""
    if not isinstance(model, OSDFaceModel):
        raise NotACheckpointError(str(path), "this is another model than OSDFace.", "Name OSDFace's weights here.")
    return model


def bundle_config(path: str | Path, metadata: Mapping[str, str]) -> tuple[DiffusionConfig, type[OneStepModel]]:
    """A bundle's configuration, and the model that it is of."""
    if metadata.get("osdface_bundle") != FORMAT:
        raise NotACheckpointError(
            path,
            f"this is no OSDFace bundle of format {FORMAT} (found {metadata.get('osdface_bundle')!r}).",
            f"Make one from the authors' files with `{command()} weights convert`, or name the folder that holds them.",
        )
    kind = metadata.get("kind", next(iter(KINDS)))
    if kind not in KINDS:
        problem = f"it holds a model of a kind that is not known here ({kind!r:.60})."
        raise NotACheckpointError(path, problem, "It may come from a newer version: update.")
    config_class, model_class = KINDS[kind]
    try:
        return config_class.from_json(json.loads(metadata["config"])), model_class
    except (KeyError, ValueError, RecursionError) as error:
        problem = f"its configuration cannot be read ({type(error).__name__}: {error})."
        raise NotACheckpointError(
            path, problem, "It may come from a newer version: update, or convert again."
        ) from error

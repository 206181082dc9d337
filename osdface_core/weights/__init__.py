"""Weights: from the starter, a bundle, or authors' files, to one model; downloads, and what is there.

Takes: paths, names of the catalogue. Gives: models and tensors, read as data. Not here: devices, precision.
"""

from collections.abc import Sequence
from pathlib import Path

import torch

from ..errors import WeightsNotFoundError
from ..models.diffusion import OneStepModel
from ..models.osdface import ModelConfig
from ..models.osediff import OSEDiffModel
from ..networks.operations import TORCH, Operations
from ..options import Convert, Kind
from .authors import authors_paths, load_authors_files
from .bundle import load_bundle, require_osdface, save_bundle
from .find import locate
from .osediff import add_prompts, is_osediff, load_osediff
from .sd21 import base_files
from .starter import load_starter

__all__ = [
    "convert",
    "load_authors_files",
    "load_bundle",
    "load_starter",
    "read_model",
    "require_osdface",
    "save_bundle",
]


def read_model(
    weights: str | Path | None = None,
    base: str | Path | None = None,
    ops: Operations = TORCH,
    prompts: Sequence[str] | None = None,
) -> OneStepModel:
    """The model in `weights` as it is stored, memory-mapped where it can be.

    weights: a bundle, or the folder with OSDFace's authors' files, or OSEDiff's osediff_face.pkl (which both need
        `base`), or None for the built-in starter.
    base: SD 2.1-base, as a diffusers folder or a single file.
    ops: the layers that the networks are built with.
    prompts: texts that an OSEDiff model is to know. Those that a bundle does not hold are encoded with the text encoder
        in `base`, a folder.
    Both files may be names in the catalogue ("osdface", "sd21-base") for files that are found on this machine.
    Raises a WeightsError that says what is wrong with which file.
    """
    weights = None if weights is None else locate(weights)
    if weights is None:
        return load_starter(ops)
    if weights.is_dir():
        return load_authors_files(weights, require_base(weights, base), ops=ops)
    if is_osediff(weights):
        return load_osediff(weights, require_base(weights, base), prompts, ops)
    model = load_bundle(weights, ops)
    if isinstance(model, OSEDiffModel) and prompts and base is not None:
        add_prompts(model, prompts, locate(base))
    return model


def convert(
    source: str | Path,
    base: str | Path | None,
    output: str | Path,
    *,
    kind: Kind = Convert.kind,
    dtype: torch.dtype = torch.float32,
    prompts: Sequence[str] | None = None,
) -> None:
    """Write authors' files and SD 2.1-base as one bundle. Raises a WeightsError as `load_model` does.

    source: the folder with OSDFace's three files, or OSEDiff's one.
    prompts: the texts that an OSEDiff bundle is to hold, the usual one first; a few plain ones by default.
    """
    source, base = locate(source), require_base(source, base)
    model: OneStepModel
    if kind == "osediff":
        model, files = load_osediff(source, base, prompts), [source]
    else:
        model, files = load_authors_files(source, base), [*authors_paths(source, ModelConfig())]
    save_bundle(model, output, dtype=dtype, sources=[*files, *base_files(base)])


def require_base(weights: str | Path, base: str | Path | None) -> Path:
    if base is None:
        advice = "Name SD 2.1-base too (--base): a diffusers folder or a single-file checkpoint."
        raise WeightsNotFoundError(weights, "the authors' files change SD 2.1-base and do not contain it.", advice)
    return locate(base)

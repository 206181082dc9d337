"""Weights: from the starter, a bundle, or the authors' files, to one OSDFaceModel; downloads, and what is there.

Takes: paths, names of the catalogue. Gives: models and tensors, read as data. Not here: devices, precision.
"""

from pathlib import Path

import torch

from ..errors import WeightsNotFoundError
from ..models.osdface import ModelConfig, OSDFaceModel
from ..networks.operations import TORCH, Operations
from .authors import authors_paths, load_authors_files
from .bundle import load_bundle, save_bundle
from .find import locate
from .sd21 import base_files
from .starter import load_starter

__all__ = ["convert", "load_authors_files", "load_bundle", "load_starter", "read_model", "save_bundle"]


def read_model(
    weights: str | Path | None = None, base: str | Path | None = None, ops: Operations = TORCH
) -> OSDFaceModel:
    """The model in `weights` as it is stored, memory-mapped where it can be.

    weights: a bundle, or the folder with the authors' files (which needs `base`), or None for the built-in starter.
    base: SD 2.1-base, as a diffusers folder or a single file.
    ops: the layers that the networks are built with.
    Both may be names in the catalogue ("osdface", "sd21-base") for files that are found on this machine.
    Raises a WeightsError that says what is wrong with which file.
    """
    weights = None if weights is None else locate(weights)
    if weights is None:
        return load_starter(ops)
    if weights.is_dir():
        return load_authors_files(weights, require_base(weights, base), ops=ops)
    return load_bundle(weights, ops)


def convert(
    folder: str | Path, base: str | Path | None, output: str | Path, *, dtype: torch.dtype = torch.float32
) -> None:
    """Write the authors' files and SD 2.1-base as one bundle. Raises a WeightsError as `load_model` does."""
    folder, base = locate(folder), require_base(folder, base)
    model = load_authors_files(folder, base)
    save_bundle(model, output, dtype=dtype, sources=[*authors_paths(folder, ModelConfig()), *base_files(base)])


def require_base(folder: str | Path, base: str | Path | None) -> Path:
    if base is None:
        advice = "Name SD 2.1-base too (--base): a diffusers folder or a single-file checkpoint."
        raise WeightsNotFoundError(folder, "the authors' files change SD 2.1-base and do not contain it.", advice)
    return locate(base)

"""The weights that come with the package, so that everything runs on a fresh machine. README.md is their model card."""

from pathlib import Path

from ...models.diffusion import OneStepModel
from ...networks.operations import TORCH, Operations
from ..bundle import load_bundle

BUNDLE = Path(__file__).with_name("starter.safetensors")


def load_starter(ops: Operations = TORCH) -> OneStepModel:
    """The starter model: OSDFace's structure at a small size, for 256 px crops. Its `notice` says what it is worth."""
    return load_bundle(BUNDLE, ops)

"""The weights that come with the package, so that everything runs on a fresh machine."""

from pathlib import Path

import torch

from ...model import ModelConfig, OSDFaceModel
from ...vre import VREConfig
from ..bundle import load_bundle

BUNDLE: Path | None = None
"""The starter bundle, once there is a trained one beside this file."""

UNTRAINED = (
    "The built-in weights are untrained: every stage runs, but the restored faces are meaningless. "
    "Name OSDFace's own weights to restore a face."
)

CONFIG = ModelConfig(
    vre=VREConfig(base_channels=32, channel_multipliers=(1, 2, 2, 4, 4), input_size=256),
    unet={
        "sample_size": 32,
        "block_out_channels": [32, 64, 128],
        "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
        "layers_per_block": 1,
        "attention_head_dim": [1, 2, 4],
        "cross_attention_dim": 1024,
        "use_linear_projection": True,
    },
    vae={
        "sample_size": 256,
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "block_out_channels": [32, 32, 64, 64],
        "layers_per_block": 1,
        "latent_channels": 4,
        "scaling_factor": 0.18215,
    },
    crop_size=256,
)
"""OSDFace at a size that a fresh machine runs in a second."""


def load_starter() -> OSDFaceModel:
    """The starter model. Its `notice` says what it is worth."""
    if BUNDLE is not None:
        return load_bundle(BUNDLE)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return OSDFaceModel(CONFIG, notice=UNTRAINED)

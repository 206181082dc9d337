"""The model that a restorer is trained in, put together from finished stages and files."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..models.osdface import ModelConfig, OSDFaceModel
from ..networks.config import VAEConfig
from ..weights import read_model, require_osdface
from ..weights.files import Tensors, fill, read_tensors
from ..weights.sd21 import read_base, read_json
from .vre_stage import load_autoencoder


@dataclass(frozen=True)
class Parts:
    """Where the parts come from. What is not named is new."""

    model: str | None = None
    """A whole model: a bundle, or the folder with the authors' files (which needs `base`). Leaves out all below."""
    base: str | None = None
    """SD 2.1-base, for its UNet and VAE."""
    vae: str | None = None
    """Folder of a finished autoencoder stage, for its VAE."""
    vre: str | None = None
    """Folder of a finished vre stage, for its encoder and dictionary."""


def assemble(config: ModelConfig, parts: Parts) -> OSDFaceModel:
    """A model of the given sizes, or of those of the files it is made from. Raises a WeightsError."""
    if parts.model is not None:
        model = require_osdface(read_model(parts.model, parts.base), parts.model)
        model.load_state_dict(own(model.state_dict()), assign=True)
        return model
    files: dict[str, tuple[Tensors, Any]] = {}
    if parts.base is not None:
        config, unet, vae = read_base(parts.base, config)
        files |= {"unet": (unet, parts.base), "vae": (vae, parts.base)}
    if parts.vae is not None:
        vae_config, tensors, path = read_vae(parts.vae)
        config, files["vae"] = replace(config, vae=vae_config), (tensors, path)
    model = OSDFaceModel(config)
    for name, (tensors, path) in files.items():
        fill(getattr(model, name), own(tensors), path)
    if parts.vre is not None:
        autoencoder = load_autoencoder(config, parts.vre)
        model.vre.encoder, model.vre.quantizer = autoencoder.encoder, autoencoder.quantizer
    return model


def read_vae(folder: str | Path) -> tuple[VAEConfig, Tensors, Path]:
    """What an autoencoder stage left: its VAE's configuration, its tensors, and their file."""
    path = Path(folder) / "vae" / "diffusion_pytorch_model.safetensors"
    return VAEConfig.from_json(read_json(path.parent / "config.json")), read_tensors(path)[0], path


def own(tensors: Tensors) -> Tensors:
    """Copies in memory, in float32: a memory-mapped file is not to be trained in."""
    return {key: tensor.float().clone() for key, tensor in tensors.items()}

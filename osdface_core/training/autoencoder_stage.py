"""The VAE of a model that does not stand on Stable Diffusion's: its own, trained first."""

import json
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path

import torch
from torch import Tensor, nn

from ..files.atomic_write import atomic_write
from ..limits import within
from ..models.osdface import ModelConfig
from ..networks.vae import VAE, sample
from ..weights.files import fill, write_tensors
from ..weights.sd21 import WEIGHT_NAMES
from .assemble import own, read_vae
from .losses import Losses
from .reconstruction import Reconstruction, ReconstructionConfig
from .stage import Batch, Stage


@dataclass(frozen=True)
class AutoencoderConfig:
    reconstruction: ReconstructionConfig = field(default_factory=ReconstructionConfig)
    kl_weight: float = 1e-6
    """Of the divergence of the whole latent, divided by the image's values as the other losses are (latent diffusion's
    weight, its appendix G)."""
    start: str | None = None
    """Folder of a finished autoencoder stage, to go on from."""

    def __post_init__(self) -> None:
        """Raises ValueError."""
        within(self, kl_weight=(0, inf))


class AutoencoderStage(Stage):
    """Good photographs through the VAE and back."""

    def __init__(self, model: ModelConfig, config: AutoencoderConfig):
        super().__init__()
        self.config = config
        self.vae = VAE(model.vae)
        if config.start is not None:
            _, tensors, path = read_vae(config.start)
            fill(self.vae, own(tensors), path)
            self.vae.requires_grad_(True)
        self.reconstruction = Reconstruction(config.reconstruction)
        self.discriminator_from = config.reconstruction.discriminator_from
        self.latent_square: Tensor
        self.register_buffer("latent_square", torch.zeros(()))

    @property
    def discriminator(self) -> nn.Module:
        return self.reconstruction.discriminator

    def losses(self, batch: Batch, step: int) -> Losses:
        posterior = self.vae.encode(2 * batch["hq"] - 1)
        images = (self.vae.decode(sample(posterior)).float() + 1) / 2
        self.latent_square.lerp_(posterior.mean.detach().float().square().mean(), 0.01 if step else 1.0)
        last = self.vae.decoder.last_layer
        losses = self.reconstruction.losses(images, batch["hq"], last, self.judged(step))
        return losses | {"kl": self.config.kl_weight * posterior.kl().mean() / batch["hq"][0].numel()}

    def discriminator_losses(self, step: int) -> Losses:
        return self.reconstruction.discriminator_losses()

    @torch.no_grad()
    def pictures(self, batch: Batch) -> Tensor:
        images = self.vae.decode(self.vae.encode(2 * batch["hq"] - 1).mean).float()
        return torch.stack([batch["hq"], (images / 2 + 0.5).clamp(0, 1)])

    def save(self, folder: Path) -> None:
        """A diffusers folder, `vae`, whose scaling factor brings latents to a standard deviation of 1."""
        config = replace(self.vae.config, scaling_factor=float(self.latent_square) ** -0.5)
        (folder / "vae").mkdir(parents=True, exist_ok=True)
        with atomic_write(folder / "vae" / "config.json") as partial:
            partial.write_text(json.dumps(config.to_json()), encoding="utf-8")
        tensors = {key: tensor.contiguous().cpu() for key, tensor in self.vae.state_dict().items()}
        write_tensors(folder / "vae" / WEIGHT_NAMES[0], tensors)

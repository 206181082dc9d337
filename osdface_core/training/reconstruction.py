"""An image from a network, held against the one it should be: what all autoencoders are trained by."""

from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor, nn

from ..evaluation.perceptual import load_distance
from ..limits import within
from .discriminators import PatchDiscriminator
from .losses import Losses, adaptive_weight, hinge_discriminator


@dataclass(frozen=True)
class ReconstructionConfig:
    """Weights of the losses (CRAFT's, which are DAEFR's)."""

    perceptual: str = "random"
    """Which distance: see `load_distance`."""
    perceptual_weight: float = 1.0
    adversarial_weight: float = 0.8
    """Times the adaptive weight."""
    discriminator_channels: int = 64
    discriminator_from: int = 0
    """The step at which the discriminator starts to count."""

    def __post_init__(self) -> None:
        """Raises ValueError."""
        within(self, perceptual_weight=(0, inf), adversarial_weight=(0, inf), discriminator_from=(0, inf))
        if self.discriminator_channels < 8 or self.discriminator_channels % 8:
            raise ValueError(f"discriminator_channels is {self.discriminator_channels}: it must be a multiple of 8")


class Reconstruction(nn.Module):
    """L1, a perceptual distance, and a patch discriminator."""

    def __init__(self, config: ReconstructionConfig):
        super().__init__()
        self.config = config
        self.distance = load_distance(config.perceptual)
        self.discriminator = PatchDiscriminator(config.discriminator_channels)
        self.kept: tuple[Tensor, Tensor] | None = None

    def losses(self, images: Tensor, target: Tensor, last_layer: nn.Parameter, judged: bool) -> Losses:
        losses = {"l1": (images - target).abs().mean()}
        losses["perceptual"] = self.config.perceptual_weight * self.distance(images, target).mean()
        if judged:
            self.discriminator.requires_grad_(False)
            adversarial = -self.discriminator(images).mean()
            fidelity = losses["l1"] + losses["perceptual"]
            if torch.is_grad_enabled():
                adversarial = adversarial * adaptive_weight(fidelity, adversarial, last_layer)
            losses["adversarial"] = self.config.adversarial_weight * adversarial
            self.kept = (images.detach(), target)
        return losses

    def discriminator_losses(self) -> Losses:
        assert self.kept is not None
        self.discriminator.requires_grad_(True)
        fake, real = self.kept
        return {"discriminator": hinge_discriminator(self.discriminator(real), self.discriminator(fake))}

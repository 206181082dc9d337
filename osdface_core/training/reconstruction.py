"""An image from a network, held against the one it should be: what all autoencoders are trained by."""

from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor, nn

from ..evaluation.perceptual import load_distance
from ..limits import within
from .critics import PatchCritic
from .losses import Losses, adaptive_weight, hinge_critic


@dataclass(frozen=True)
class ReconstructionConfig:
    """Weights of the losses (CRAFT's, which are DAEFR's)."""

    perceptual: str = "random"
    """Which distance: see `load_distance`."""
    perceptual_weight: float = 1.0
    adversarial_weight: float = 0.8
    """Times the adaptive weight."""
    critic_channels: int = 64
    critic_from: int = 0
    """The step at which the critic starts to count."""

    def __post_init__(self) -> None:
        """Raises ValueError."""
        within(self, perceptual_weight=(0, inf), adversarial_weight=(0, inf), critic_from=(0, inf))
        if self.critic_channels < 8 or self.critic_channels % 8:
            raise ValueError(f"critic_channels is {self.critic_channels}: it must be a multiple of 8")


class Reconstruction(nn.Module):
    """L1, a perceptual distance, and a patch critic."""

    def __init__(self, config: ReconstructionConfig):
        super().__init__()
        self.config = config
        self.distance = load_distance(config.perceptual)
        self.critic = PatchCritic(config.critic_channels)
        self.kept: tuple[Tensor, Tensor] | None = None

    def losses(self, images: Tensor, target: Tensor, last_layer: nn.Parameter, judged: bool) -> Losses:
        losses = {"l1": (images - target).abs().mean()}
        losses["perceptual"] = self.config.perceptual_weight * self.distance(images, target).mean()
        if judged:
            self.critic.requires_grad_(False)
            adversarial = -self.critic(images).mean()
            fidelity = losses["l1"] + losses["perceptual"]
            if torch.is_grad_enabled():
                adversarial = adversarial * adaptive_weight(fidelity, adversarial, last_layer)
            losses["adversarial"] = self.config.adversarial_weight * adversarial
            self.kept = (images.detach(), target)
        return losses

    def critic_losses(self) -> Losses:
        assert self.kept is not None
        self.critic.requires_grad_(True)
        fake, real = self.kept
        return {"critic": hinge_critic(self.critic(real), self.critic(fake))}

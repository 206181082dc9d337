"""What the engine asks of a stage of training."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn
from typing_extensions import Self

from .losses import Losses

Batch = dict[str, Tensor]
"""{"hq", "lq"}: [N,3,S,S], 0..1."""

Gather = Callable[[Tensor], Tensor]
"""The same tensor of every process, one after the other along the first axis."""


class Stage(nn.Module, ABC):
    """Networks and losses. Those of its parameters that take a gradient are trained, and followed by a moving average.

    Generator and discriminator take turns within a step. Everything goes through `forward`: that is what lets a stage
    run on several machines.
    """

    discriminator_from: int = 0
    """The step at which the discriminator starts to count."""

    @property
    def discriminator(self) -> nn.Module | None:
        return None

    @abstractmethod
    def losses(self, batch: Batch, step: int) -> Losses:
        """The generator's losses. What a discriminator at work has to judge is kept for `discriminator_losses`."""

    @abstractmethod
    def discriminator_losses(self, step: int) -> Losses:
        """The discriminator's losses on what `losses` kept, with no gradient to the generator."""

    def after_step(self, gather: Gather) -> None:
        """Upkeep once the weights have changed."""

    @abstractmethod
    def pictures(self, batch: Batch) -> Tensor:
        """What training makes of a batch, [R,N,3,S,S]: a row for each kind of picture."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write what this stage is for into `folder`, for the next stage or for use."""

    def judged(self, step: int) -> bool:
        return self.discriminator is not None and step >= self.discriminator_from

    def train(self, mode: bool = True) -> Self:
        """What takes no gradient stays in evaluation mode, whatever stage it is part of."""
        super().train(mode)
        for module in self.modules():
            if not any(parameter.requires_grad for parameter in module.parameters()):
                module.training = False
        return self

    def trained(self) -> list[nn.Parameter]:
        """The generator's parameters."""
        mine = set(map(id, self.discriminator.parameters())) if self.discriminator is not None else set()
        return [parameter for parameter in self.parameters() if parameter.requires_grad and id(parameter) not in mine]

    def forward(self, turn: str, batch: Batch, step: int) -> Losses:
        return self.losses(batch, step) if turn == "generator" else self.discriminator_losses(step)

"""Stage 1: the visual representation embedder's encoder and dictionary (paper section 3.2)."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from ..limits import one_of, within
from ..models.osdface import ModelConfig
from ..weights.files import fill, read_tensors, write_tensors
from .losses import Losses, association
from .reconstruction import Reconstruction, ReconstructionConfig
from .stage import Batch, Gather, Stage
from .vq_autoencoder import Quantized, VQAutoencoder

FILE = "vq_autoencoder.safetensors"


@dataclass(frozen=True)
class VREStageConfig:
    """Which of the two autoencoders, and what it is trained by. The paper's order: hq; lq; lq with association."""

    side: str = "lq"
    """Which photographs it sees and gives back: hq or lq."""
    start: str | None = None
    """Folder of an earlier stage to go on from."""
    hq: str | None = None
    """Folder of the finished hq stage, for the association."""
    association_weight: float = 0.0
    reconstruction: ReconstructionConfig = field(default_factory=ReconstructionConfig)

    def __post_init__(self) -> None:
        """Raises ValueError."""
        one_of(self, side=("hq", "lq"))
        within(self, association_weight=(0, math.inf))
        if self.association_weight and self.hq is None:
            raise ValueError("hq is missing: association_weight needs the folder of the finished hq stage")


class VREStage(Stage):
    """A VQ autoencoder of good or of degraded photographs."""

    def __init__(self, model: ModelConfig, config: VREStageConfig):
        super().__init__()
        self.config = config
        self.autoencoder = load_autoencoder(model, config.start) if config.start else VQAutoencoder(model.vre)
        self.reconstruction = Reconstruction(config.reconstruction)
        self.discriminator_from = config.reconstruction.discriminator_from
        self.kept: Quantized | None = None
        self.guide: VQAutoencoder | None = None
        if config.association_weight:
            assert config.hq is not None  # or there would be no configuration
            self.guide = load_autoencoder(model, config.hq).requires_grad_(False)
            self.scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    @property
    def discriminator(self) -> nn.Module:
        return self.reconstruction.discriminator

    def losses(self, batch: Batch, step: int) -> Losses:
        images, quantized = self.autoencoder(batch[self.config.side])
        target = self.autoencoder.target(batch[self.config.side])
        last = self.autoencoder.decoder.last_layer
        losses = self.reconstruction.losses(images, target, last, self.judged(step)) | {"vq": quantized.loss}
        if self.guide is not None:
            with torch.no_grad():
                hq = self.guide.encoder(batch["hq"])
            loss = association(hq, quantized.features, self.scale)
            losses["association"] = self.config.association_weight * loss
        self.kept = quantized
        return losses

    def discriminator_losses(self, step: int) -> Losses:
        return self.reconstruction.discriminator_losses()

    def after_step(self, gather: Gather) -> None:
        assert self.kept is not None
        self.autoencoder.revive(self.kept, gather)

    @torch.no_grad()
    def pictures(self, batch: Batch) -> Tensor:
        images = batch[self.config.side]
        return torch.stack([self.autoencoder.target(images), self.autoencoder(images)[0].clamp(0, 1)])

    def save(self, folder: Path) -> None:
        tensors = {key: tensor.contiguous().cpu() for key, tensor in self.autoencoder.state_dict().items()}
        write_tensors(folder / FILE, tensors)


def load_autoencoder(model: ModelConfig, folder: str | Path) -> VQAutoencoder:
    """The autoencoder of a finished stage."""
    path = Path(folder) / FILE
    autoencoder = VQAutoencoder(model.vre)
    fill(autoencoder, {key: tensor.clone() for key, tensor in read_tensors(path)[0].items()}, path)
    return autoencoder.requires_grad_(True)

"""OSDFaceModel: the networks of OSDFace in one module, every size of it built from one ModelConfig."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from ..networks.config import NetworkConfig
from ..networks.operations import TORCH, Operations
from ..options import TIMESTEP
from .diffusion import DiffusionConfig, OneStepModel
from .vre import VRE, VREConfig


@dataclass(frozen=True)
class ModelConfig(DiffusionConfig):
    """Sizes and constants of a model. The defaults are OSDFace's own. Raises ValueError for sizes that cannot be."""

    vre: VREConfig = field(default_factory=VREConfig)
    timestep: int = field(default=TIMESTEP, kw_only=True)

    networks: ClassVar[dict[str, type[NetworkConfig]]] = {"vre": VREConfig, **DiffusionConfig.networks}

    @property
    def context_width(self) -> int:
        return self.vre.prompt_channels

    def check_fit(self) -> None:
        """Raises ValueError where one network cannot take what another one gives."""
        width, context = self.vre.prompt_width, self.unet.cross_attention_dim
        if width != context:
            raise ValueError(f"the prompt is {width} wide, the UNet's context {context}")
        super().check_fit()


class OSDFaceModel(OneStepModel):
    """VRE, UNet and VAE."""

    config: ModelConfig

    def __init__(self, config: ModelConfig, notice: str = "", ops: Operations = TORCH):
        super().__init__(config, notice, ops)
        self.vre = VRE(config.vre, ops).eval().requires_grad_(False)

    @property
    def conditioner(self) -> VRE:
        return self.vre

    @property
    def device(self) -> torch.device:
        return self.vre.quantizer.embedding.device

    def context(self, images: Tensor) -> Tensor:
        return self.vre(images).embeds

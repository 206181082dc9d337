"""OSDFaceModel: the networks of OSDFace in one module, every size of it built from one ModelConfig.

diffusers takes seconds to import, so that happens where a model is built, here and in `vre.py`.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from .batches import upload
from .one_step import TIMESTEP, OneStep
from .serialization import Json
from .vre import VRE, VREConfig


def sd21_unet() -> Json:
    """SD 2.1-base's UNet, in diffusers' terms."""
    return {
        "sample_size": 64,
        "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
        "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
        "block_out_channels": [320, 640, 1280, 1280],
        "attention_head_dim": [5, 10, 20, 20],
        "cross_attention_dim": 1024,
        "use_linear_projection": True,
    }


def sd21_vae() -> Json:
    """SD 2.1-base's VAE, in diffusers' terms."""
    return {
        "sample_size": 768,
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "block_out_channels": [128, 256, 512, 512],
        "layers_per_block": 2,
        "latent_channels": 4,
        "scaling_factor": 0.18215,
    }


@dataclass(frozen=True)
class ModelConfig:
    """Sizes and constants of a model. The defaults are OSDFace's own."""

    vre: VREConfig = field(default_factory=VREConfig)
    unet: Json = field(default_factory=sd21_unet)
    vae: Json = field(default_factory=sd21_vae)
    crop_size: int = 512
    timestep: int = TIMESTEP
    beta_start: float = 0.00085
    beta_end: float = 0.012
    beta_schedule: str = "scaled_linear"

    def to_json(self) -> Json:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Json) -> "ModelConfig":
        """Raises TypeError where `data` has fields this version does not know."""
        vre = dict(data["vre"])
        vre["channel_multipliers"] = tuple(vre["channel_multipliers"])
        return cls(**{**data, "vre": VREConfig(**vre)})


class OSDFaceModel(nn.Module):
    """VRE, UNet and VAE. A plain holder of weights, in evaluation mode and without gradients.

    notice: what a user has to be told about these weights, empty for OSDFace's own.
    """

    def __init__(self, config: ModelConfig, notice: str = ""):
        from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel

        super().__init__()
        self.config = config
        self.notice = notice
        self.vre = VRE(config.vre)
        self.unet: Any = UNet2DConditionModel.from_config(config.unet)
        self.vae: Any = AutoencoderKL.from_config(config.vae)
        with torch.device("cpu"):
            schedule: Any = DDIMScheduler(
                beta_start=config.beta_start, beta_end=config.beta_end, beta_schedule=config.beta_schedule
            )
        self.alphas_cumprod: Tensor = schedule.alphas_cumprod
        self.eval().requires_grad_(False)

    @property
    def one_step(self) -> OneStep:
        """The restoration of plain image tensors of any size that the VAE takes."""
        return OneStep(self.encode, self.predict_noise, self.decode, self.alphas_cumprod, self.config.timestep)

    def dtype_of(self, part: str) -> torch.dtype:
        """What "encode", "unet" or "decode" computes in."""
        return self.unet.dtype if part == "unet" else self.vae.dtype

    def encode(self, images: Tensor, seed: int | None) -> Tensor:
        posterior = self.vae.encode(upload(images, self.vae.device).to(self.dtype_of("encode"))).latent_dist
        if seed is None:
            latents = posterior.mode()
        else:
            generator = torch.Generator().manual_seed(seed)
            noise = torch.randn(1, *posterior.mean.shape[1:], generator=generator)
            latents = posterior.mean + posterior.std * noise.to(posterior.mean, non_blocking=True)
        return latents * self.vae.config.scaling_factor

    def predict_noise(self, latents: Tensor, timestep: int, embeds: Tensor) -> Tensor:
        dtype = self.dtype_of("unet")
        return self.unet(latents.to(dtype), timestep, embeds.to(self.unet.device, dtype, non_blocking=True)).sample

    def decode(self, latents: Tensor) -> Tensor:
        return self.vae.decode((latents / self.vae.config.scaling_factor).to(self.dtype_of("decode"))).sample

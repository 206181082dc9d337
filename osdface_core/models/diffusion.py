"""A one-step diffusion model: UNet, VAE and the step they make, whatever tells the UNet what to restore."""

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import Self

from ..devices import arithmetic, upload
from ..errors import ImageError
from ..files.mapped import MappedFile
from ..limits import check_count, check_number
from ..networks.config import NetworkConfig, UNetConfig, VAEConfig, frozen
from ..networks.operations import TORCH, Operations
from ..networks.unet import UNet
from ..networks.vae import VAE
from ..serialization import Json
from .one_step import OneStep
from .precision import NAMES, Precision

log = logging.getLogger(__name__)

SCHEDULES = "scaled_linear", "linear"
STEPS = 1000

SD21_UNET = UNetConfig(attention_head_dim=(5, 10, 20, 20), cross_attention_dim=1024, use_linear_projection=True)
SD21_VAE = VAEConfig(
    sample_size=768,
    down_block_types=("DownEncoderBlock2D",) * 4,
    up_block_types=("UpDecoderBlock2D",) * 4,
    block_out_channels=(128, 256, 512, 512),
    layers_per_block=2,
)
"""SD 2.1-base's networks."""


@dataclass(frozen=True, kw_only=True)
class DiffusionConfig:
    """Sizes and constants that every such model has. Raises ValueError for sizes that cannot be."""

    unet: UNetConfig = SD21_UNET
    vae: VAEConfig = SD21_VAE
    crop_size: int = 512
    timestep: int
    beta_start: float = 0.00085
    beta_end: float = 0.012
    beta_schedule: str = "scaled_linear"

    networks: ClassVar[dict[str, type[NetworkConfig]]] = {"unet": UNetConfig, "vae": VAEConfig}
    """The fields that are networks' configurations themselves. A file has to have them."""

    def __post_init__(self) -> None:
        check_count("crop_size", self.crop_size, 4096)
        if self.crop_size % 8 or self.crop_size < 64:
            raise ValueError(f"crop_size = {self.crop_size} must be 64 or more, in steps of 8")
        check_count("timestep", self.timestep + 1 if isinstance(self.timestep, int) else self.timestep, STEPS)
        check_number("beta_start", self.beta_start, 1e-8, 0.5)
        check_number("beta_end", self.beta_end, self.beta_start, 0.5)
        if self.beta_schedule not in SCHEDULES:
            raise ValueError(f"beta_schedule = {self.beta_schedule!r:.60} must be one of {', '.join(SCHEDULES)}")

    @property
    def context_width(self) -> int:
        """How wide the UNet's context has to be."""
        return self.unet.cross_attention_dim

    def to_json(self) -> Json:
        return asdict(self)

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Raises ValueError for what is no such configuration, or has fields that this version does not know."""
        if not isinstance(data, Mapping):
            raise ValueError(f"a model's configuration is a table, not {data!r:.60}")
        unknown = sorted(set(data) - {known.name for known in fields(cls)}, key=str)
        if unknown:
            raise ValueError(f"{unknown[0]!r:.60} is not known")
        missing = sorted(cls.networks.keys() - data.keys())
        if missing:
            raise ValueError(f"{missing[0]} is missing")
        values: dict[str, Any] = {name: frozen(value) for name, value in data.items()}
        config = cls(**values | {name: network.from_json(data[name]) for name, network in cls.networks.items()})
        config.check_fit()
        return config

    def check_fit(self) -> None:
        """Raises ValueError where one network cannot take what another one gives."""
        latent = self.vae.latent_channels
        if (self.unet.in_channels, self.unet.out_channels) != (latent, latent):
            raise ValueError(f"the UNet takes and gives other latents than the VAE's, of {latent} channels")

    def alphas_cumprod(self) -> Tensor:
        """The noise schedule [1000], float32, as diffusers' schedulers compute it."""
        root = 0.5 if self.beta_schedule == "scaled_linear" else 1
        betas = torch.linspace(self.beta_start**root, self.beta_end**root, STEPS, dtype=torch.float32, device="cpu")
        return torch.cumprod(1 - betas ** (1 / root), dim=0)


class OneStepModel(nn.Module, ABC):
    """UNet and VAE, in evaluation mode and without gradients, beside what makes the UNet's context (`conditioner`).

    Safe from several threads, unless its parts take turns on the device (`onload`).

    notice: what a user has to be told about these weights, empty for nothing.
    """

    config: DiffusionConfig

    def __init__(self, config: DiffusionConfig, notice: str = "", ops: Operations = TORCH):
        super().__init__()
        self.config = config
        self.notice = notice
        self.unet = UNet(config.unet, ops)
        self.vae = VAE(config.vae, ops)
        self.alphas_cumprod = config.alphas_cumprod()
        self.precision = Precision()
        """What each part computes in, whatever it is stored in; float32 from the moment a part has overflowed."""
        self.decoder: Callable[[Tensor], Tensor] | None = None
        """What decodes scaled latents approximately, in place of the VAE."""
        self.onload: Callable[[str], None] | None = None
        """Puts a part on the device, where not all of them are there at once."""
        self.vae_device: torch.device | None = None
        """Where the VAE computes, if not where the rest does."""
        self.files: tuple[MappedFile, ...] = ()
        """What weights were mapped from."""
        self.lock = threading.Lock()
        self.eval().requires_grad_(False)

    @property
    @abstractmethod
    def conditioner(self) -> nn.Module:
        """What makes the context that the UNet is told."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the model computes. Parts that take turns there may be elsewhere."""

    @abstractmethod
    def context(self, images: Tensor) -> Tensor:
        """What the UNet is told about images [N,3,H,W], 0..1, unless somebody says something else: [N,77,D]."""

    def check_files(self) -> None:
        """Before a pass. Raises UnreadableFileError where a file that weights are mapped from was changed in place."""
        for file in self.files:
            file.check()

    @property
    def one_step(self) -> OneStep:
        """The restoration of plain image tensors of any size that the VAE takes. Raises as `check_files` does."""
        self.check_files()
        shifts: dict[int, list[Tensor]] = {}

        def predict_noise(latents: Tensor, timestep: int, embeds: Tensor) -> Tensor:
            wide, width = embeds.shape[-1], self.config.context_width
            if wide != width:
                raise ImageError(f"These prompts are {wide} wide, this model takes {width}. Encode them with it.")
            self.onload_part("unet")
            latents = upload(latents, self.device, self.precision.unet)
            with arithmetic(self.device, tf32=False):
                if timestep not in shifts or shifts[timestep][0].dtype != latents.dtype:
                    shifts[timestep] = self.unet.time_shifts(timestep, latents)
                return self.unet(latents, shifts[timestep], upload(embeds, latents.device, latents.dtype))

        return OneStep(
            self.encode,
            predict_noise,
            self.decode,
            self.alphas_cumprod,
            self.config.timestep,
            upcast=self.upcast,
            by_stage=self.onload is not None,
        )

    def encode(self, images: Tensor, seed: int | None) -> Tensor:
        """images [N,3,H,W], -1..1 -> scaled latents: the posterior's mode, or with a seed a sample drawn on the CPU."""
        self.onload_part("encode")
        device = self.vae_device or self.device
        with arithmetic(device, tf32=False):
            posterior = self.vae.encode(upload(images, device, self.precision.encode))
        latents = posterior.mean
        if seed is not None:
            noise = torch.randn(1, *latents.shape[1:], generator=torch.Generator().manual_seed(seed))
            latents = latents + posterior.std * upload(noise, latents.device, latents.dtype)
        return latents * self.config.vae.scaling_factor

    def decode(self, latents: Tensor) -> Tensor:
        """scaled latents -> images in about -1..1."""
        if self.decoder is not None:
            return self.decoder(latents)
        self.onload_part("decode")
        device = self.vae_device or self.device
        with arithmetic(device, tf32=False):
            latents = upload(latents / self.config.vae.scaling_factor, device, self.precision.decode)
            return self.vae.decode(latents)

    def onload_part(self, part: str) -> None:
        if self.onload is not None:
            self.onload(part)

    def upcast(self, part: str) -> None:
        """From now on compute `part` in float32, because it has overflowed in half precision."""
        with self.lock:
            dtype = getattr(self.precision, part)
            if dtype != torch.float32:
                log.warning("OSDFace: %s overflows in %s: from now on in fp32.", part, NAMES[dtype])
                self.precision = replace(self.precision, **{part: torch.float32})
                if part == "decode" and isinstance(self.decoder, nn.Module):
                    self.decoder.float()

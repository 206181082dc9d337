"""One step of diffusion from a degraded face to a restored one (paper section 3.1)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

TIMESTEP = 399
"""The one timestep OSDFace was trained at."""


@dataclass(frozen=True)
class OneStep:
    """The restoration, over three callables: any implementation of the networks will do."""

    encode: Callable[[Tensor, int | None], Tensor]
    """images [N,3,H,W] in -1..1, seed -> scaled latents [N,4,H/8,W/8]. Without a seed the posterior's mode; with one a
    sample of the posterior, drawn on the CPU, from the same noise for every face."""
    predict_noise: Callable[[Tensor, int, Tensor], Tensor]
    """latents, timestep, context [N,77,D] -> predicted noise, shaped like the latents."""
    decode: Callable[[Tensor], Tensor]
    """scaled latents -> images in about -1..1."""
    alphas_cumprod: Tensor
    """[1000]: the noise schedule, float32 as diffusers computes it."""

    def __call__(self, images: Tensor, embeds: Tensor, *, timestep: int = TIMESTEP, seed: int | None = None) -> Tensor:
        """images [N,3,H,W], 0..1, and their prompts -> restored images of that size, 0..1.

        No noise is added: the degraded latent itself is taken for the noisy one.
        """
        latents = self.encode(2 * images - 1, seed)
        noise = self.predict_noise(latents, timestep, embeds)
        restored = self.decode(self.original(latents, noise, timestep))
        return (restored.float().clamp(-1, 1) / 2 + 0.5).clamp(0, 1)

    def original(self, latents: Tensor, noise: Tensor, timestep: int) -> Tensor:
        """x0 = (z - sqrt(1 - a) * noise) / sqrt(a), in float64 where the device has it, returned in float32."""
        precise = torch.float32 if latents.device.type == "mps" else torch.float64
        alpha = float(self.alphas_cumprod[timestep])
        x0 = (latents.to(precise) - (1 - alpha) ** 0.5 * noise.to(precise)) / alpha**0.5
        return x0.float()

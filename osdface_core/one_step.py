"""One step of diffusion from a degraded face to a restored one (paper section 3.1)."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .batches import OnBatch, in_batches
from .errors import ImageError
from .faces import FaceCrops
from .vre import Prompts

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
    timestep: int = TIMESTEP
    latent_strength: float = 1.0
    """0..1: how far to go from the degraded latent to the restored one, before decoding."""
    verdict: Callable[[], Callable[[], bool]] = field(default=lambda: lambda: False)
    """Called when a pass has begun. What it returns is asked once the pass is done: whether a part of it had overflowed
    and was mended, so that the pass is void."""

    def __call__(self, images: Tensor, embeds: Tensor, seed: int | None = None) -> Tensor:
        """images [N,3,H,W], 0..1, and their prompts -> restored images, 0..1, sides cut down to multiples of 8."""
        return self.begin(images, embeds, seed)()

    def begin(self, images: Tensor, embeds: Tensor, seed: int | None = None) -> Callable[[], Tensor]:
        """Set a pass going. What is returned waits for its end, and gives the result; a void pass is made again."""
        restored, is_void = self.forward(images, embeds, seed), self.verdict()

        def finish() -> Tensor:
            nonlocal restored, is_void
            while is_void():
                restored, is_void = self.forward(images, embeds, seed), self.verdict()
            return restored

        return finish

    def forward(self, images: Tensor, embeds: Tensor, seed: int | None = None) -> Tensor:
        """One pass, in which the host never waits for the device.

        No noise is added: the degraded latent itself is taken for the noisy one.
        """
        latents = self.encode(2 * images - 1, seed)
        noise = self.predict_noise(latents, self.timestep, embeds)
        return self.finish(self.decode(self.original(latents, noise)))

    def original(self, latents: Tensor, noise: Tensor) -> Tensor:
        """x0 = (z - sqrt(1 - a) * noise) / sqrt(a), in float64 where the device has it, returned in float32.

        With a latent strength below 1, a straight mix of z and x0.
        """
        precise = torch.float32 if latents.device.type == "mps" else torch.float64
        alpha = float(self.alphas_cumprod[self.timestep])
        precise_latents = latents.to(precise)
        x0 = (precise_latents - (1 - alpha) ** 0.5 * noise.to(precise)) / alpha**0.5
        return torch.lerp(precise_latents, x0, self.latent_strength).float()

    def finish(self, decoded: Tensor) -> Tensor:
        """-1..1 -> 0..1."""
        return (decoded.float().clamp(-1, 1) / 2 + 0.5).clamp(0, 1)


def restore_crops(
    one_step: OneStep,
    crops: FaceCrops,
    prompts: Prompts,
    *,
    batch_size: int = 4,
    seed: int | None = None,
    on_batch: OnBatch | None = None,
) -> FaceCrops:
    """Every crop restored, in ceil(N / batch_size) passes; the results stay where the crops are.

    seed: None takes the mode of the VAE's posterior, the same result every time; a number samples it.
    Raises ImageError where there is not one prompt for every crop, or the networks give no numbers.
    """
    if len(prompts) != len(crops):
        raise ImageError(f"There are {len(prompts)} prompts for {len(crops)} crops. Encode the prompts of these crops.")
    if crops.size % 8 or crops.size < 64:
        raise ImageError(f"Crops of {crops.size} pixels a side cannot be restored: it takes 64 or more, in steps of 8.")
    images = torch.empty_like(crops.images)
    begun: list[tuple[slice, Callable[[], Tensor]]] = []

    def work(part: slice) -> None:
        """Begin a pass before the last one's end is waited for: a GPU has always something to do."""
        finish = one_step.begin(crops.images[part], prompts.embeds[part], seed)
        fetch()
        begun.append((part, finish))

    def fetch() -> None:
        for part, finish in begun:
            images[part] = finish().to(images)
        begun.clear()

    in_batches(len(crops), batch_size, work, on_batch)
    fetch()
    if images.isnan().any():
        raise ImageError(
            "The networks gave NaN instead of faces. Choose another precision: bf16 or fp32 instead of fp16. If that "
            "does not help, the weights are damaged: get them again."
        )
    return crops.with_images(images)

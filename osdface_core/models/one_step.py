"""One step of diffusion from a degraded face to a restored one (paper section 3.1)."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..batches import OnBatch, in_batches, in_passes
from ..devices import download, precise, wait_for
from ..errors import ImageError
from ..faces import FaceCrops
from ..options import TIMESTEP, Restore
from .vre import Prompts

HALF = torch.float16, torch.bfloat16


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
    latent_strength: float = Restore.latent_strength
    """0..1: how far to go from the degraded latent to the restored one, before decoding."""
    upcast: Callable[[str], None] | None = None
    """Brings a part that overflowed in half precision to float32; None where nothing can."""
    by_stage: bool = False
    """Whether the networks take turns on the device: then each of them sees all faces before the next one does."""

    def __call__(self, images: Tensor, embeds: Tensor, seed: int | None = None) -> Tensor:
        """images [N,3,H,W], 0..1, and their prompts -> restored images, 0..1, sides cut down to multiples of 8."""
        while True:
            restored, finite = self.forward(images, embeds, seed)
            if not self.is_void(finite):
                return restored

    def forward(self, images: Tensor, embeds: Tensor, seed: int | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """One pass, in which the host never waits for the device.

        No noise is added: the degraded latent itself is taken for the noisy one.
        Also returned, of each part that computed in half precision: whether all that it made is finite, [].
        """
        finite: dict[str, Tensor] = {}

        def watched(part: str, made: Tensor) -> Tensor:
            if made.dtype in HALF:
                finite[part] = made.isfinite().all()
            return made

        latents = watched("encode", self.encode(2 * images - 1, seed))
        noise = watched("unet", self.predict_noise(latents, self.timestep, embeds))
        return self.finish(watched("decode", self.decode(self.original(latents, noise)))), finite

    def is_void(self, finite: dict[str, Tensor]) -> bool:
        """Whether a part of a pass overflowed: it computes in float32 from now on, and the pass is to be made again.

        finite: of each part in half precision, whether it gave numbers: what this waits for.
        """
        broken = [part for part, good in finite.items() if not good]
        if not broken or self.upcast is None:
            return False
        self.upcast(broken[0])
        return True

    def original(self, latents: Tensor, noise: Tensor) -> Tensor:
        """x0 = (z - sqrt(1 - a) * noise) / sqrt(a), in float64 where the device has it, returned in float32.

        With a latent strength below 1, a straight mix of z and x0.
        """
        alpha, dtype = float(self.alphas_cumprod[self.timestep]), precise(latents.device)
        precise_latents = latents.to(dtype)
        x0 = (precise_latents - (1 - alpha) ** 0.5 * noise.to(dtype)) / alpha**0.5
        return torch.lerp(precise_latents, x0, self.latent_strength).float()

    def finish(self, decoded: Tensor) -> Tensor:
        """-1..1 -> 0..1."""
        return (decoded.float().clamp(-1, 1) / 2 + 0.5).clamp(0, 1)

    def in_stages(self, size: int, on_batch: OnBatch | None) -> "OneStep":
        """The same restoration of all faces at once, in which every network takes `size` of them at a time.

        on_batch: told that no face is done after every batch of the first two networks, too, so that it can stop them.
        """

        def none_yet(_done: int, count: int) -> None:
            if on_batch is not None:
                on_batch(0, count)

        def encode(images: Tensor, seed: int | None) -> Tensor:
            return torch.cat(in_batches(len(images), size, lambda part: self.encode(images[part], seed), none_yet))

        def predict_noise(latents: Tensor, timestep: int, embeds: Tensor) -> Tensor:
            def work(part: slice) -> Tensor:
                return self.predict_noise(latents[part], timestep, embeds[part])

            return torch.cat(in_batches(len(latents), size, work, none_yet))

        def decode(latents: Tensor) -> Tensor:
            def work(part: slice) -> Tensor:
                images = self.decode(latents[part])
                if on_batch is not None:
                    wait_for(images)
                return images

            return torch.cat(in_batches(len(latents), size, work, on_batch))

        return replace(self, encode=encode, predict_noise=predict_noise, decode=decode, by_stage=False)


@torch.no_grad()
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
    Raises ImageError where there is not one prompt for every crop, or the networks give no numbers, and OptionError for
    a batch size or a seed that cannot be.
    """
    Restore(batch_size=batch_size, seed=seed).validate()
    if len(prompts) != len(crops):
        raise ImageError(f"There are {len(prompts)} prompts for {len(crops)} crops. Encode the prompts of these crops.")
    if prompts.embeds.ndim != 3 or not prompts.embeds.is_floating_point():
        given = f"{list(prompts.embeds.shape)} in {prompts.embeds.dtype}"
        raise ImageError(f"Prompts must be numbers [N,T,D], not {given}. Encode the prompts of these crops.")
    if crops.size % 8 or crops.size < 64:
        raise ImageError(f"Crops of {crops.size} pixels a side cannot be restored: it takes 64 or more, in steps of 8.")
    images = torch.empty_like(crops.images)

    def begin(part: slice) -> tuple[Callable[[], Tensor], dict[str, Callable[[], Tensor]]]:
        """A pass, and the copies of what it makes on their way."""
        restored, finite = step.forward(crops.images[part], prompts.embeds[part], seed)
        fetch = download if images.device.type == "cpu" else lambda made: lambda: made
        return fetch(restored), {name: download(good) for name, good in finite.items()}

    def finish(part: slice, begun: tuple[Callable[[], Tensor], dict[str, Callable[[], Tensor]]]) -> bool:
        restored, finite = begun
        images[part] = restored().to(images)
        return not step.is_void({name: good() for name, good in finite.items()})

    if one_step.by_stage:
        step = one_step.in_stages(batch_size, on_batch)
        in_passes(len(crops), max(len(crops), 1), begin, finish)
    else:
        step = one_step
        ahead = 0 if prompts.embeds.device.type == "cpu" else 1  # a CPU works at once: nothing is gained, a stop late
        in_passes(len(crops), batch_size, begin, finish, on_batch, ahead=ahead)
    return crops.with_images(check_restored(images))


def check_restored(images: Tensor) -> Tensor:
    """The images that networks made. Raises ImageError for NaN."""
    if images.isnan().any():
        raise ImageError(
            "The networks gave NaN instead of faces. Choose another precision: bf16 or fp32 instead of fp16. If that "
            "does not help, the weights are damaged: get them again."
        )
    return images

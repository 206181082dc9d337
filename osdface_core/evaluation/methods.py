"""What is compared: the model, other restorers, a plain denoiser. Images are aligned faces [N,3,S,S], 0..1."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..batches import in_batches
from ..compositing.color import match_color
from ..devices import upload
from ..geometry.align import whole_crops
from ..libraries import library
from ..models.diffusion import OneStepModel
from ..models.restorer import Restorer
from ..options import Color, Restore
from .photographs import as_tensor

cv2 = library("cv2")

Restoration = Callable[[Tensor], Tensor]
"""Degraded images -> restored ones, of the same size."""


@dataclass(frozen=True, eq=False)
class Method:
    """A restoration, and which colours its results are given. Each is measured, the first under the method's name."""

    restore: Restoration
    colors: Sequence[Color] = ("none",)

    def names(self, name: str) -> list[str]:
        """What its results are called."""
        return [name, *(f"{name}, {'plain' if color == 'none' else color}" for color in self.colors[1:])]

    def __call__(self, images: Tensor) -> list[Tensor]:
        """Its results, in every colour."""
        restored = self.restore(images)
        before, after = whole_crops(images), whole_crops(restored.to(images))
        return [match_color(after, before, color).images.clamp(0, 1) for color in self.colors]


def restorer(model: OneStepModel, *, steps: int = 1, batch_size: int = 4) -> Restoration:
    """The model itself, at its own size. steps: above 1, DDIM steps from its timestep down to 0, for comparison."""
    own = (model.config.crop_size, model.config.crop_size)
    timesteps = [round(model.config.timestep * (steps - done) / steps) for done in range(steps)]

    @torch.no_grad()
    def restore(images: Tensor) -> Tensor:
        images = upload(resized(images, own), model.device)
        one_step, embeds = model.one_step, model.context(images)
        latents = model.encode(2 * images - 1, None)
        for now, following in zip(timesteps, [*timesteps[1:], None], strict=True):
            noise = one_step.predict_noise(latents, now, embeds)
            latents = replace(one_step, timestep=now).original(latents, noise)
            if following is not None:
                alpha = float(model.alphas_cumprod[following])
                latents = alpha**0.5 * latents + (1 - alpha) ** 0.5 * noise
        return ((model.decode(latents).float().clamp(-1, 1) + 1) / 2).cpu()

    def restore_all(images: Tensor) -> Tensor:
        parts = in_batches(len(images), batch_size, lambda part: restore(images[part]))
        return resized(torch.cat(parts), images.shape[2:])

    return restore_all


def restoration_of(restorer: Restorer) -> Restoration:
    """Any other restorer, with its own defaults; it gets the images at its own size, and they come back at theirs."""
    own = (restorer.crop_size, restorer.crop_size)

    def restore(images: Tensor) -> Tensor:
        return resized(restorer.restore(whole_crops(resized(images, own)), Restore()).images, images.shape[2:])

    return restore


def resized(images: Tensor, size: Sequence[int]) -> Tensor:
    if images.shape[2:] == torch.Size(size):
        return images
    return F.interpolate(images, tuple(size), mode="bicubic", antialias=True).clamp(0, 1)


def denoised(images: Tensor) -> Tensor:
    """What one does without a face restorer: OpenCV's non-local means."""
    levels = (images.permute(0, 2, 3, 1) * 255).round().byte().numpy()
    return torch.stack([as_tensor(cv2.fastNlMeansDenoisingColored(image, None, 6, 6) / 255) for image in levels])

"""Degrade good photographs, restore them, measure, and show: a table and a picture."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..batches import in_batches
from ..files.photos import write_photo
from ..geometry.align import whole_crops
from ..libraries import library
from ..models.osdface import OSDFaceModel
from ..models.restorer import Restorer
from ..options import Restore
from ..serialization import Json
from .degradation import Degradation
from .measures import Measure
from .photographs import as_tensor, read_square

cv2 = library("cv2")

Method = Callable[[Tensor], Tensor]
"""Degraded images [N,3,S,S] -> restored ones."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What every method made of every photograph at every strength."""

    rows: list[Json]
    """{"strength", "method", and the mean of every measure}."""
    pictures: dict[str, Tensor]
    """By strength: [R,N,3,S,S], a row for the input, each method, and the photograph itself."""

    def markdown(self) -> str:
        names = list(self.rows[0])
        lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
        for row in self.rows:
            values = [f"{row[name]:.4g}" if isinstance(row[name], float) else row[name] for name in names]
            lines.append("| " + " | ".join(values) + " |")
        return "\n".join(lines) + "\n"

    def write_grid(self, path: Path, strength: str, columns: int = 8) -> None:
        rows = self.pictures[strength][:, :columns]
        write_photo(path, torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)[None])


@torch.no_grad()
def evaluate(
    photos: Sequence[Path],
    size: int,
    strengths: dict[str, Degradation],
    methods: dict[str, Method],
    measures: Sequence[Measure],
    *,
    seed: int = 0,
) -> Evaluation:
    """Every method on the same degraded copies of `photos` (aligned faces, brought to `size`).

    The degraded photograph itself is measured as the method "input". NaN values of a measure are left out of its mean.
    """
    target = torch.stack([as_tensor(read_square(photo, size)) for photo in photos])
    seen_target = [measure.see(target) for measure in measures]
    rows, pictures = [], {}
    for strength, degradation in strengths.items():
        degraded = torch.stack(
            [
                as_tensor(degradation(image.permute(1, 2, 0).numpy(), np.random.default_rng((seed, index))))
                for index, image in enumerate(target)
            ]
        )
        results = {"input": degraded} | {name: method(degraded) for name, method in methods.items()}
        for name, images in results.items():
            means = {
                figure: float(values.nanmean())
                for measure, seen in zip(measures, seen_target, strict=True)
                for figure, values in zip(measure.names, measure.compare(measure.see(images), seen), strict=True)
            }
            rows.append({"strength": strength, "method": name} | means)
        pictures[strength] = torch.stack([*results.values(), target])
    return Evaluation(rows, pictures)


def restorer(model: OSDFaceModel, *, steps: int = 1, batch_size: int = 4) -> Method:
    """The model as a method. steps: above 1, DDIM steps from the model's timestep down to 0, for comparison."""
    timesteps = [round(model.config.timestep * (steps - done) / steps) for done in range(steps)]

    @torch.no_grad()
    def restore(images: Tensor) -> Tensor:
        one_step, embeds = model.one_step, model.vre(images).embeds
        latents = model.encode(2 * images - 1, None)
        for now, following in zip(timesteps, [*timesteps[1:], None], strict=True):
            noise = one_step.predict_noise(latents, now, embeds)
            latents = replace(one_step, timestep=now).original(latents, noise)
            if following is not None:
                alpha = float(model.alphas_cumprod[following])
                latents = alpha**0.5 * latents + (1 - alpha) ** 0.5 * noise
        return (model.decode(latents).float().clamp(-1, 1) + 1) / 2

    return lambda images: torch.cat(in_batches(len(images), batch_size, lambda part: restore(images[part])))


def method_of(restorer: Restorer) -> Method:
    """Any other restorer as a method; its images come back at the size of those it was given."""

    def restore(images: Tensor) -> Tensor:
        restored = restorer.restore(whole_crops(images), Restore()).images
        return F.interpolate(restored, images.shape[2:], mode="bicubic", antialias=True).clamp(0, 1)

    return restore


def denoised(images: Tensor) -> Tensor:
    """What one does without a face restorer: OpenCV's non-local means."""
    levels = (images.permute(0, 2, 3, 1) * 255).round().byte().numpy()
    return torch.stack([as_tensor(cv2.fastNlMeansDenoisingColored(image, None, 6, 6) / 255) for image in levels])

"""What an album has done to its photos, in steps that run beside each other: the stages, or aligned faces alone."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from ..faces import FaceCrops, Faces
from ..models.diffusion import OneStepModel
from ..models.restorer import Restorer
from ..pipeline import Stages, joined, restore_aligned
from ..serialization import Json


class Made(NamedTuple):
    """What became of a photo."""

    image: Tensor
    """[1,3,H,W]."""
    report: Json


class Work(Protocol):
    """The steps. Each may run in a thread of its own, and none is called in two threads at once but `finish`."""

    @property
    def batch(self) -> int:
        """How many faces are restored together."""

    @property
    def growth(self) -> float:
        """How many pixels a result has for each of its photo's."""

    def cut(self, names: Sequence[str], images: Sequence[Tensor]) -> list[Any]:
        """What is to be restored of photos [1,3,H,W] of one size; its length is the number of faces."""

    def held(self, cut: Any) -> int:
        """How many bytes that takes, with what is restored of it."""

    def restore(self, parts: Sequence[tuple[Any, range]]) -> list[Any]:
        """What becomes of some faces of each of several photos."""

    def finish(self, image: Tensor, cut: Any, restored: Sequence[Any]) -> Made:
        """The result for a photo [1,3,H,W], from all parts of it that were restored, in their order."""


@dataclass(frozen=True, eq=False)
class PhotoWork:
    """Whole photos, by the stages of the pipeline.

    faces: the faces of a photo by its name, where they are known; None to find them.
    """

    stages: Stages
    faces: Callable[[str], Faces] | None = None
    upscaling: Any = field(default_factory=Lock)
    """Held by the thread that enlarges a photo: the network for it fills a device's memory alone."""

    @property
    def batch(self) -> int:
        return self.stages.restorer.at_once(MANY, self.stages.options.batch_size)

    @property
    def growth(self) -> float:
        return max(self.stages.options.upscale, getattr(self.stages.upscaler, "scale", 1)) ** 2

    def cut(self, names: Sequence[str], images: Sequence[Tensor]) -> list[FaceCrops]:
        if self.faces is not None:
            found = [self.faces(name) for name in names]
        elif len(images) == 1:
            found = [self.stages.find(images[0])]
        else:
            of_all = self.stages.find(torch.cat(list(images)))
            found = [of_all.between(number, number + 1) for number in range(len(images))]
        return [self.stages.cut(image, own) for image, own in zip(images, found, strict=True)]

    def held(self, cut: FaceCrops) -> int:
        return 2 * cut.images.nbytes

    def restore(self, parts: Sequence[tuple[FaceCrops, range]]) -> list[tuple[FaceCrops, Tensor | None]]:
        pieces = [piece(crops, numbers) for crops, numbers in parts]
        _, checked, masks = self.stages.restore(pieces[0] if len(pieces) == 1 else joined(pieces))
        if len(pieces) == 1:
            return [(checked, masks)]
        found = []
        for frame, own in enumerate(pieces):
            numbers = [n for n, face in enumerate(checked.faces) if face.frame == frame]
            faces = replace(checked.faces.between(frame, frame + 1), height=own.faces.height, width=own.faces.width)
            identity = None if checked.identity is None else tuple(checked.identity[n] for n in numbers)
            part = FaceCrops(checked.images[numbers], faces, checked.to_crop[numbers], identity)
            found.append((part, None if masks is None else masks[numbers]))
        return found

    def finish(self, image: Tensor, cut: FaceCrops, restored: Sequence[tuple[FaceCrops, Tensor | None]]) -> Made:
        checked, masks = restored[0] if len(restored) == 1 else together(restored)
        with nullcontext() if self.stages.upscaler is None else self.upscaling:
            result = self.stages.paste(image, checked, masks)
        return Made(result.image, result.report_json())


@dataclass(frozen=True, eq=False)
class AlignedWork:
    """Photos that are one aligned face each. exact: every step as in the authors' program."""

    model: OneStepModel | Restorer
    exact: bool
    options: dict[str, Any]
    """Of `restore_aligned`, `seed` among them."""
    batch: int = 1
    growth: float = 1.0

    def cut(self, names: Sequence[str], images: Sequence[Tensor]) -> list[Sequence[Tensor]]:
        return [[image] for image in images]

    def held(self, cut: Sequence[Tensor]) -> int:
        return cut[0].nbytes

    def restore(self, parts: Sequence[tuple[Sequence[Tensor], range]]) -> list[Tensor]:
        return [restore_aligned(face, self.model, exact=self.exact, **self.options) for (face,), _ in parts]

    def finish(self, image: Tensor, cut: Sequence[Tensor], restored: Sequence[Tensor]) -> Made:
        return Made(restored[0], {"seed": self.options["seed"], "summary": ALIGNED})


ALIGNED = "aligned face restored"
MANY = 1_000_000
"""Faces, to ask how many of them go together."""


def piece(crops: FaceCrops, numbers: range) -> FaceCrops:
    """Some crops of a photo. Who is left out is told with the first ones alone."""
    if len(numbers) == len(crops):
        return crops
    part = crops.take(numbers)
    return part if numbers.start == 0 else replace(part, faces=replace(part.faces, skipped=()))


def together(parts: Sequence[tuple[FaceCrops, Tensor | None]]) -> tuple[FaceCrops, Tensor | None]:
    """The crops of one photo again, and their masks."""
    crops = [part for part, _ in parts]
    faces = replace(
        crops[0].faces,
        faces=tuple(face for own in crops for face in own.faces),
        skipped=tuple(entry for own in crops for entry in own.faces.skipped),
    )
    measured = [own.identity for own in crops]
    identity = None if None in measured else tuple(value for own in measured for value in own or ())
    images, to_crop = (torch.cat([getattr(own, name) for own in crops]) for name in ("images", "to_crop"))
    masks = [mask for _, mask in parts if mask is not None]
    return FaceCrops(images, faces, to_crop, identity), torch.cat(masks) if masks else None

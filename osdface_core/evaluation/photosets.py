"""Sets of photos to evaluate on, as they are published: degraded here, in pairs, or degraded by life."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from ..errors import ImageError
from ..files.formats import SUFFIXES
from .degradation import STRENGTHS, Degradation
from .photographs import as_tensor, read_square

ALIGNED = "aligned to FFHQ's template, square"

CELEBA_TEST = (
    "CelebA-Test has 3,000 degraded faces and their originals, 512 px, made by the authors of VQFR and DAEFR from "
    f"CelebA-HQ; their repositories link to it. Expected: a folder of each, {ALIGNED}, with the same file names."
)
REAL = (
    "Wider-Test (970 faces), LFW-Test (1,711) and WebPhoto-Test (407) are photos degraded by life, published by the "
    f"authors of CodeFormer, GFPGAN and VQFR; DAEFR's repository links to all. Expected: a folder of faces, {ALIGNED}."
)
SYNTHETIC = f"Expected: one folder of good photos of faces, {ALIGNED}; FFHQ's or any other."


@dataclass(frozen=True, eq=False)
class Photos:
    """One photo of a set, brought to a size."""

    target: Tensor | None
    """[3,S,S], 0..1: what it should be, where that is known."""
    inputs: dict[str, Tensor]
    """By group: what is to be restored."""


@dataclass(frozen=True, eq=False)
class PhotoSet:
    """Photos to restore, in groups: one for every way in which they are degraded."""

    names: tuple[str, ...]
    """Of the photos, and of their results' files."""
    groups: tuple[str, ...]
    read: Callable[[int, int], Photos]
    """A photo's number and the side to bring it to -> the photo. Raises ImageError."""

    def __len__(self) -> int:
        return len(self.names)

    def first(self, count: int | None) -> "PhotoSet":
        return PhotoSet(self.names[:count], self.groups, self.read)


def synthetic(folder: Path, strengths: dict[str, Degradation] = STRENGTHS, seed: int = 0) -> PhotoSet:
    """Good photos, degraded in each of the `strengths`. The same seed and order of photos give the same pictures."""
    files = listed(folder, SYNTHETIC)

    def read(number: int, size: int) -> Photos:
        image = read_square(files[number], size)
        degraded = {
            name: as_tensor(degradation(image, np.random.default_rng((seed, number))))
            for name, degradation in strengths.items()
        }
        return Photos(as_tensor(image), degraded)

    return PhotoSet(names_of(files), tuple(strengths), read)


def pairs(degraded: Path, originals: Path) -> PhotoSet:
    """Degraded photos and their originals, matched by name."""
    files = listed(degraded, CELEBA_TEST)
    of_name = {file.stem: file for file in listed(originals, CELEBA_TEST)}
    alone = [file.name for file in files if file.stem not in of_name]
    if alone:
        raise ImageError(f"{originals}: {len(alone)} photo(s) have no original, {alone[0]} for one. {CELEBA_TEST}")

    def read(number: int, size: int) -> Photos:
        file = files[number]
        return Photos(as_tensor(read_square(of_name[file.stem], size)), {"": as_tensor(read_square(file, size))})

    return PhotoSet(names_of(files), ("",), read)


def real(folder: Path) -> PhotoSet:
    """Photos whose originals nobody has."""
    files = listed(folder, REAL)
    return PhotoSet(
        names_of(files), ("",), lambda number, size: Photos(None, {"": as_tensor(read_square(files[number], size))})
    )


def listed(folder: Path, expected: str) -> list[Path]:
    """The photos in a folder, by name. Raises ImageError, which says what was expected, where there are none."""
    if not folder.is_dir():
        raise ImageError(f"{folder}: there is no such folder. {expected}")
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)
    if not files:
        raise ImageError(f"{folder}: there are no photos in it. {expected}")
    return files


def names_of(files: Sequence[Path]) -> tuple[str, ...]:
    """The files' names without their suffixes. Raises ImageError where two are the same."""
    names = tuple(file.stem for file in files)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ImageError(f"{files[0].parent}: two photos are called {twice}. Rename one: results go by these names.")
    return names

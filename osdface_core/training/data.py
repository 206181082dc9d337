"""Training pairs: a good face photograph, and the same one degraded."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from ..errors import ImageError
from ..evaluation.degradation import Degradation
from ..evaluation.photographs import as_tensor, read_square
from ..files.formats import SUFFIXES
from ..files.photos import read_photo
from ..libraries import library
from ..limits import within
from .scenes import compose

cv2 = library("cv2")

Draw = tuple[int, int]
"""Which photo, and which sample of the run this is: the seed of everything random about it."""


@dataclass(frozen=True)
class DataConfig:
    """Where the photographs are, and what is made of them."""

    folders: tuple[str, ...]
    """Aligned faces, square, of any size; subfolders are not searched."""
    manifest: str | None = None
    """A CSV file with the columns `file` and `group`: only these groups of it are taken, see `groups`."""
    groups: tuple[str, ...] = ()
    """Empty: all."""
    size: int = 512
    """Side of the crops."""
    window: int | None = None
    """Cut a random square of this side out of every pair."""
    recolour: float = 0.0
    """The share of photographs that get other colours: portraits show few, and an autoencoder has to know them all."""
    scene: int | None = None
    """Compose scenes of this side from photographs, to learn detection from."""
    degradation: Degradation = field(default_factory=Degradation)
    workers: int = 0

    def __post_init__(self) -> None:
        """Raises ValueError."""
        within(self, size=(8, 8192), window=(1, self.size), recolour=(0, 1), scene=(64, 8192), workers=(0, 1024))
        if not self.folders:
            raise ValueError("folders is empty: name at least one")


class FacePairs(Dataset[dict[str, Tensor]]):
    """{"hq", "lq"}, each [3,S,S], 0..1, for every draw.

    Raises ImageError where there are no photographs. One that cannot be read raises ImageError naming it when it is
    drawn: `check` finds those beforehand.
    """

    def __init__(self, config: DataConfig, seed: int = 0):
        self.config, self.seed = config, seed
        self.files = find_photos(config)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, draw: Draw) -> dict[str, Tensor]:
        index, position = draw
        rng = np.random.default_rng((self.seed, position))
        good = read_square(self.files[index], self.config.size)
        if rng.random() < 0.5:
            good = np.ascontiguousarray(good[:, ::-1])
        if rng.random() < self.config.recolour:
            good = recoloured(good, rng)
        bad = self.config.degradation(good, rng)
        if self.config.window is not None:
            y, x = rng.integers(0, self.config.size - self.config.window + 1, 2)
            part = np.s_[y : y + self.config.window, x : x + self.config.window]
            good, bad = good[part], bad[part]
        return {"hq": as_tensor(good), "lq": as_tensor(bad)}


def recoloured(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The channels in another order, and up to two and a half times as far from grey."""
    grey = image.mean(2, keepdims=True)
    return np.clip(grey + rng.uniform(0, 2.5) * (image[..., rng.permutation(3)] - grey), 0, 1)


class ScenePairs(FacePairs):
    """The same for scenes, composed of many photographs each."""

    def __init__(self, config: DataConfig, seed: int = 0):
        super().__init__(config, seed)
        self.read: dict[int, np.ndarray] = {}

    def __getitem__(self, draw: Draw) -> dict[str, Tensor]:
        rng = np.random.default_rng((self.seed, draw[1]))
        side = self.config.scene or self.config.size
        good, bad = compose(lambda: self.photo(int(rng.integers(len(self)))), side, self.config.degradation, rng)
        return {"hq": as_tensor(good), "lq": as_tensor(bad)}

    def photo(self, index: int) -> np.ndarray:
        """[size,size,3] uint8, read once: a scene needs many."""
        if index not in self.read:
            self.read[index] = (read_square(self.files[index], self.config.size) * 255).round().astype(np.uint8)
        return self.read[index]


class Draws(Sampler[list[Draw]]):
    """Batches of draws for ever, every photo once an epoch, from batch number `start` on.

    The order depends on the seed alone: a run that is taken up again goes on where it was.
    """

    def __init__(self, photos: int, batch_size: int, seed: int, start: int = 0):
        self.photos, self.batch_size, self.seed, self.start = photos, batch_size, seed, start
        self.drop_last = False

    def __len__(self) -> int:
        return 2**31

    def __iter__(self) -> Iterator[list[Draw]]:
        position, epoch, order = self.start * self.batch_size, -1, np.arange(0)
        while True:
            batch = []
            for _ in range(self.batch_size):
                if position // self.photos != epoch:
                    epoch = position // self.photos
                    order = np.random.default_rng((self.seed, epoch)).permutation(self.photos)
                batch.append((int(order[position % self.photos]), position))
                position += 1
            yield batch


def pairs_loader(config: DataConfig, batch_size: int, seed: int, start: int = 0) -> DataLoader[dict[str, Tensor]]:
    """Batches {"hq", "lq"} [N,3,S,S] without end, from batch number `start` on."""
    pairs = FacePairs(config, seed) if config.scene is None else ScenePairs(config, seed)
    return DataLoader(
        pairs,
        batch_sampler=Draws(len(pairs), batch_size, seed, start),
        num_workers=config.workers,
        persistent_workers=config.workers > 0,
        generator=torch.Generator(),  # or it would draw from the one whose state checkpoints keep
    )


def find_photos(config: DataConfig) -> list[Path]:
    """The photographs in the folders, in order of name, that the manifest's groups admit. Raises ImageError if none."""
    files = []
    for folder in map(Path, config.folders):
        if not folder.is_dir():
            raise ImageError(f"{folder}: there is no such folder. Check data.folders.")
        there = (file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)
        files += sorted(file for file in there if not file.name.startswith("._"))  # macOS's notes on a file
    if config.manifest is not None and config.groups:
        try:
            with open(config.manifest, newline="", encoding="utf-8") as lines:
                groups = {Path(row["file"]).parts[-3:]: row["group"] for row in csv.DictReader(lines)}
        except (OSError, LookupError, TypeError, ValueError, csv.Error) as error:
            advice = "Check data.manifest: a CSV file with the columns file and group."
            raise ImageError(f"{config.manifest}: this cannot be read ({error}). {advice}") from error
        files = [file for file in files if groups.get(file.parts[-3:]) in config.groups]
    if not files:
        raise ImageError(f"There are no photographs to train on in {', '.join(config.folders)}. Check data.folders.")
    return files


def check(files: Sequence[Path]) -> list[Path]:
    """The files that cannot be read as photographs."""
    broken = []
    for file in files:
        try:
            read_photo(file)
        except ImageError:
            broken.append(file)
    return broken

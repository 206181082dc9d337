"""Recognising faces through hot air (supplement D): pairs of photos, of one person or two, and what restoring does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ImageError
from ..files.formats import SUFFIXES
from ..serialization import Json
from .curves import accuracy, area, average_precision, equal_error, precision_recall, roc, true_at_false
from .degradation import turbulent
from .evaluate import Task, result_file
from .photographs import as_tensor, read_square
from .photosets import ALIGNED, Photos, PhotoSet
from .plots import plot
from .report import SHOWN, as_json, write_texts
from .sheets import write_sheet
from .statistics import difference
from .tables import INPUT, as_csv, markdown, plain

STRONGEST = 40_000
"""The strength at which `degradation.turbulent` works with 1; below, with the square root of the share of it.

The paper gives strengths without a unit. They are read here as a number of random displacements that add up, whose sum
grows with the square root of their number; so displacement and blur do: 5.7 and 2.8 pixels of a 512 px crop at 20,000,
8 and 4 at 40,000. That is our choice: curves are to be compared among methods, not with the paper's.
"""

ORIGINAL = "original"
"""What the photos before the hot air are called as a method."""

LFW = (
    "LFW has 13,233 photos of 5,749 people and a list of 3,000 + 3,000 pairs, pairs.txt (vis-www.cs.umass.edu/lfw). "
    f"Expected: NAME/NAME_0001.jpg or NAME_0001.jpg, {ALIGNED}, and its list."
)
AT_ONCE = 16

Embed = Callable[[Tensor], Tensor]
"""Aligned faces [N,3,S,S], 0..1 -> [N,D], of which the cosine tells people apart."""


@dataclass(frozen=True)
class Pair:
    """Two photos, by the names of their files without a suffix, and whether they show one person."""

    first: str
    second: str
    same: bool


def read_pairs(file: Path, count: int | None = None) -> list[Pair]:
    """LFW's list: `NAME 1 4` for two photos of a person, `NAME 1 OTHER 2` for two people; its first line counts them.

    count: the first so many of either kind; without it all.
    Raises ImageError, with the line's number.
    """
    if not file.is_file():
        raise ImageError(f"{file}: there is no such list of pairs. {LFW}")
    found = []
    for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        words = line.split()
        if len(words) == 3 and words[1].isdigit() and words[2].isdigit():
            found.append(Pair(photo_name(words[0], words[1]), photo_name(words[0], words[2]), True))
        elif len(words) == 4 and words[1].isdigit() and words[3].isdigit():
            found.append(Pair(photo_name(words[0], words[1]), photo_name(words[2], words[3]), False))
        elif words and not (number == 1 and len(words) < 3):
            raise ImageError(f"{file}: line {number} is no pair ({line[:60]!r}). {LFW}")
    if len({pair.same for pair in found}) < 2:
        raise ImageError(f"{file}: there have to be pairs of one person, and of two. {LFW}")
    kinds = ([pair for pair in found if pair.same is same] for same in (True, False))
    return found if count is None else [pair for kind in kinds for pair in kind[:count]]


def photo_name(person: str, number: str) -> str:
    return f"{person}_{int(number):04d}"


def in_hot_air(folder: Path, pairs: Sequence[Pair], strengths: Sequence[int], seed: int = 0) -> PhotoSet:
    """Every photo of the pairs, seen through turbulence of each strength; the same field, stronger, for each.

    Both photos of a pair are degraded, each by a field of its own. Raises ImageError where a photo is missing.
    """
    names = list(dict.fromkeys(name for pair in pairs for name in (pair.first, pair.second)))
    files = [file_of(folder, name) for name in names]

    def read(number: int, size: int) -> Photos:
        image = read_square(files[number], size)
        degraded = {
            str(strength): as_tensor(
                turbulent(image, np.random.default_rng((seed, number)), (strength / STRONGEST) ** 0.5).clip(0, 1)
            )
            for strength in strengths
        }
        return Photos(as_tensor(image), degraded)

    return PhotoSet(tuple(names), tuple(map(str, strengths)), read)


def file_of(folder: Path, name: str) -> Path:
    """A photo of LFW's by its name. Raises ImageError."""
    for place in (folder / name.rpartition("_")[0], folder):
        for suffix in SUFFIXES:
            if (place / f"{name}{suffix}").is_file():
                return place / f"{name}{suffix}"
    raise ImageError(f"{folder}: {name} is not there. {LFW}")


@dataclass(frozen=True, eq=False)
class Recognition:
    """How alike the photos of every pair are, by strength and method."""

    pairs: Sequence[Pair]
    scores: dict[tuple[str, str], np.ndarray]
    """By group and method: [P], the higher the more alike."""

    @property
    def same(self) -> np.ndarray:
        return np.array([pair.same for pair in self.pairs])

    def rows(self) -> list[Json]:
        """A row for each strength and method; right - input is the paired difference of right answers."""
        found = []
        for (group, method), scores in self.scores.items():
            curve = roc(scores, self.same)
            right = accuracy(scores, self.same)
            given = accuracy(self.scores[group, INPUT], self.same)
            found.append(
                {
                    "strength": group,
                    "method": method,
                    "area under ROC ↑": area(*curve),
                    "average precision ↑": average_precision(scores, self.same),
                    "equal error ↓": equal_error(*curve),
                    "true at 1 % false ↑": true_at_false(*curve, 0.01),
                    "right ↑": float(right.mean()),
                    "right − input": difference(right, given),
                }
            )
        return found


@torch.no_grad()
def recognize(task: Task, pairs: Sequence[Pair], output: Path, embed: Embed) -> Recognition:
    """Compare the photos of every pair in the results of an evaluation of `in_hot_air`."""
    number = {name: place for place, name in enumerate(task.photos.names)}
    first, second = (
        torch.tensor([number[name] for name in side])
        for side in zip(*((p.first, p.second) for p in pairs), strict=True)
    )

    def scores(read: Callable[[int], Tensor]) -> np.ndarray:
        places = range(len(task.photos))
        parts = [places[start : start + AT_ONCE] for start in range(0, len(places), AT_ONCE)]
        embeddings = torch.cat([embed(torch.stack([read(place) for place in part])) for part in parts])
        return F.cosine_similarity(embeddings[first], embeddings[second]).double().numpy()

    def result(group: str, method: str) -> Callable[[int], Tensor]:
        return lambda place: as_tensor(
            read_square(result_file(output, method, group, task.photos.names[place]), task.size)
        )

    originals = scores(lambda place: kept(task.photos.read(place, task.size)))
    found: dict[tuple[str, str], np.ndarray] = {}
    for group in task.photos.groups:
        found |= {(group, method): scores(result(group, method)) for method in task.results}
        found[group, ORIGINAL] = originals
    return Recognition(pairs, found)


def kept(photos: Photos) -> Tensor:
    assert photos.target is not None
    return photos.target


def write(found: Recognition, task: Task, output: Path) -> None:
    """table.md, .json and .csv, ROC and precision-recall curves of every strength, and its first photos."""
    rows = found.rows()
    text = (
        f"{len(found.pairs)} pair(s), {task.size} px.\n\n{markdown(rows)}\n"
        "Right: told right by the threshold that is best for the other nine tenths of the pairs. Its difference to the "
        "input is on the same pairs, with 95 % of 2000 bootstraps.\n"
    )
    write_texts(output, {"table.md": text, "table.json": as_json(plain(rows)), "table.csv": as_csv(rows)})
    for group in task.photos.groups:
        scores = {method: own for (of, method), own in found.scores.items() if of == group}
        curves = {method: roc(own, found.same) for method, own in scores.items()}
        title = f"Hot air of strength {group}"
        drawn = {
            f"roc_{group}.svg": plot(title, "false positive rate", "true positive rate", curves),
            f"precision_recall_{group}.svg": plot(
                title, "recall", "precision", {name: precision_recall(own, found.same) for name, own in scores.items()}
            ),
        }
        write_texts(output, drawn)
        write_sheet(output / f"{group}.png", task, output, group, task.photos.names[:SHOWN])

"""Restore a set of photos by every method, measure each result, and keep it: in pieces that can be gone on from."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import ImageError
from ..files.atomic_write import atomic_write
from ..files.formats import SUFFIXES
from ..libraries import library
from ..serialization import Json
from .frechet import Frechet
from .measures import Measure
from .methods import Method
from .photographs import as_tensor, read_square
from .photosets import Photos, PhotoSet
from .tables import INPUT, SECONDS, Evaluation

cv2 = library("cv2")

JOURNAL = "photos.jsonl"
RESULTS = "results"
"""The folder of the restored photos: METHOD/NAME.png, or METHOD/GROUP/NAME.png where photos are degraded here."""
AT_ONCE = 4
"""Photos."""


@dataclass(frozen=True, eq=False)
class Task:
    """What an evaluation does.

    methods: by name. A folder holds somebody's results for all photos, laid out as our own are.
    frechet: distances of all results together from a set of originals.
    workers: how many pieces of work go side by side, each with its share of PyTorch's threads: pays on a CPU alone.
    """

    photos: PhotoSet
    size: int
    methods: Mapping[str, Method | Path]
    measures: Sequence[Measure]
    frechet: Sequence[Frechet] = ()
    workers: int = 1

    @property
    def results(self) -> list[str]:
        """The names of everything that is measured, in order."""
        named = (way.names(name) if isinstance(way, Method) else [name] for name, way in self.methods.items())
        return [INPUT, *(name for names in named for name in names)]


@torch.no_grad()
def evaluate(
    task: Task, output: Path, about: Json | None = None, *, on_photos: Callable[[int, int], None] | None = None
) -> Evaluation:
    """All methods on all photos of a task; the results are in `output` afterwards, and figures of every photo.

    about: what was asked for. Where `output` holds an unfinished evaluation of the same, only what is missing is done.
    on_photos: called with (photos done, photos in all).
    Images are measured rounded to 8 bits, as their files hold them. Raises ImageError for a photo that cannot be read,
    a method's result that is missing, and an unfinished evaluation of something else.
    """
    rows = read_journal(output, about or {}, len(task.photos.groups) * len(task.results))
    done = {row["photo"] for row in rows}
    todo = [number for number, name in enumerate(task.photos.names) if name not in done]
    check_folders(task)
    output.mkdir(parents=True, exist_ok=True)
    with atomic_write(output / JOURNAL) as partial:
        lines = [{"about": about or {}}, *rows]
        partial.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8", newline="\n")
    with (output / JOURNAL).open("a", encoding="utf-8", newline="\n") as file:
        for made in work_on(task, todo, output):
            rows += made
            file.write("".join(json.dumps(row) + "\n" for row in made))
            file.flush()
            if on_photos:
                on_photos(len({row["photo"] for row in rows}), len(task.photos))
    order = {name: number for number, name in enumerate(task.photos.names)}
    rows.sort(key=lambda row: order[row["photo"]])
    return Evaluation(rows, task.photos.groups, task.results, distances(task, output))


def work_on(task: Task, todo: Sequence[int], output: Path) -> Iterator[list[Json]]:
    """The figures of a few photos at a time."""
    pieces = [todo[start : start + AT_ONCE] for start in range(0, len(todo), AT_ONCE)]
    threads, workers = torch.get_num_threads(), min(task.workers, len(pieces))
    if workers < 2:
        yield from (measure_photos(task, piece, output) for piece in pieces)
        return
    share = (max(threads // workers, 1),)
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=share) as pool:
            yield from pool.map(lambda piece: measure_photos(task, piece, output), pieces)
    finally:
        torch.set_num_threads(threads)


@torch.no_grad()
def measure_photos(task: Task, numbers: Sequence[int], output: Path) -> list[Json]:
    """One row of figures for each of these photos, group and method."""
    photos = [task.photos.read(number, task.size) for number in numbers]
    names = [task.photos.names[number] for number in numbers]
    originals = [photo.target for photo in photos if photo.target is not None]
    target = as_files_hold(torch.stack(originals)) if originals else None
    measures = [measure for measure in task.measures if target is not None or measure.alone]
    target_codes = [None if target is None or measure.alone else measure.encode(target) for measure in measures]
    rows: list[Json] = []
    for group in task.photos.groups:
        for method, images, seconds in results_of(task, photos, group, names):
            figures: dict[str, Tensor] = {}
            for measure, seen in zip(measures, target_codes, strict=True):
                figures |= dict(zip(measure.names, measure.compare(measure.encode(images), seen), strict=True))
            for number, name in enumerate(names):
                write_fast(result_file(output, method, group, name), images[number])
                row = {figure: as_number(values[number]) for figure, values in figures.items()}
                row |= {} if seconds is None else {SECONDS: seconds}
                rows.append({"group": group, "photo": name, "method": method, "figures": row})
    return rows


def results_of(
    task: Task, photos: Sequence[Photos], group: str, names: Sequence[str]
) -> Iterator[tuple[str, Tensor, float | None]]:
    """What every method makes of some photos: its name, the images as a file holds them, seconds a face."""
    inputs = torch.stack([photo.inputs[group] for photo in photos])
    yield INPUT, as_files_hold(inputs), None
    for name, way in task.methods.items():
        if isinstance(way, Path):
            files = [result_of(way, group, photo) for photo in names]
            yield name, torch.stack([as_tensor(read_square(file, task.size)) for file in files]), None
            continue
        begun = time.perf_counter()
        restored = way(inputs)
        seconds = (time.perf_counter() - begun) / len(photos)
        for result, images in zip(way.names(name), restored, strict=True):
            yield result, as_files_hold(images), seconds


def as_files_hold(images: Tensor) -> Tensor:
    """Rounded to 8 bits."""
    return (images.float().cpu().clamp(0, 1) * 255).round() / 255


def as_number(value: Tensor) -> float | None:
    """A figure for JSON, which knows neither NaN nor infinity."""
    number = float(value)
    return number if np.isfinite(number) else None


def result_file(output: Path, method: str, group: str, photo: str) -> Path:
    """Where a result is kept."""
    return output / RESULTS / folder_name(method) / group / f"{photo}.png"


def folder_name(method: str) -> str:
    """What a method's folder is called: letters, digits and a few signs, whatever the method's name."""
    return "".join(sign if sign.isalnum() or sign in "-+." else "_" for sign in method) or "_"


def write_fast(file: Path, image: Tensor) -> None:
    """An image [3,H,W], 0..1, as a PNG that is a little larger than it could be, in a tenth of the time."""
    file.parent.mkdir(parents=True, exist_ok=True)
    levels = (image.permute(1, 2, 0) * 255).round().byte().numpy()
    data = cv2.imencode(".png", levels[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])[1]
    file.write_bytes(bytes(data))


def result_of(folder: Path, group: str, photo: str) -> Path:
    """Somebody's result for a photo. Raises ImageError where there is none."""
    for suffix in SUFFIXES:
        file = folder / group / f"{photo}{suffix}"
        if file.is_file():
            return file
    raise ImageError(f"{folder / group}: there is no result for {photo}. Restore every photo of the set.")


def check_folders(task: Task) -> None:
    """Raises ImageError where two methods' results would share a folder, or one of somebody's is missing."""
    folders = Counter(map(folder_name, task.results))
    twice = [method for method in task.results if folders[folder_name(method)] > 1]
    if twice:
        raise ImageError(f"Two methods would be called {folder_name(twice[0])}: rename one.")
    for folder in (way for way in task.methods.values() if isinstance(way, Path)):
        for group in task.photos.groups:
            for photo in task.photos.names:
                result_of(folder, group, photo)


def read_journal(output: Path, about: Json, whole: int) -> list[Json]:
    """The rows of the photos that an unfinished evaluation of the same has done; none where there is no file.

    whole: how many rows a photo has. A line that was not finished is left out. Raises ImageError where `output` holds
    an evaluation of something else.
    """
    if not (output / JOURNAL).is_file():
        return []
    lines = []
    for line in (output / JOURNAL).read_text(encoding="utf-8").splitlines():
        with suppress(ValueError):
            lines.append(json.loads(line))
    if not lines or lines[0].get("about") != json.loads(json.dumps(about)):
        raise ImageError(
            f"{output} holds an evaluation of something else. Take another folder, or begin anew: --force."
        )
    count = Counter(row["photo"] for row in lines[1:])
    return [row for row in lines[1:] if count[row["photo"]] == whole]


def distances(task: Task, output: Path) -> dict[tuple[str, str, str], float]:
    """Every Fréchet distance, by its name, the group and the method."""
    files = {
        (group, method): [result_file(output, method, group, photo) for photo in task.photos.names]
        for group in task.photos.groups
        for method in task.results
    }
    return {
        (distance.name, group, method): distance.of(own, task.size)
        for distance in task.frechet
        for (group, method), own in files.items()
    }

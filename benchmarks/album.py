"""What an album costs beside its faces, and how busy it keeps what restores them.

    python benchmarks/album.py plan --paths 1000000      # seconds and megabytes to plan, divide, resume and report
    python benchmarks/album.py files                     # CPU seconds a photo of 12 megapixels for reading and writing
    python benchmarks/album.py waiting                   # a device that only waits, 1 s a batch: how long it idles
    python benchmarks/album.py cores --photos 60         # how busy the cores are, one by one and as an album

Prints Markdown.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT)]

import osdface_core as osd  # noqa: E402
from osdface_core.album.journal import DONE, Entry, Journal, entries, marks  # noqa: E402
from osdface_core.album.plan import Shard, find_clash, find_inputs, find_overwritten, output_names  # noqa: E402
from osdface_core.album.report import as_csv, as_page, sum_up  # noqa: E402
from osdface_core.album.resume import jobs, left_to_do  # noqa: E402
from osdface_core.album.stream import Stream, restorers_on  # noqa: E402
from osdface_core.album.work import PhotoWork  # noqa: E402
from osdface_core.cli.report import write as write_report  # noqa: E402
from osdface_core.detection.boxes import faces_of_boxes  # noqa: E402
from osdface_core.files.photos import encode_photo  # noqa: E402
from osdface_core.inference.restorer import as_restorer  # noqa: E402
from osdface_core.options import PhotoOptions  # noqa: E402
from osdface_core.pipeline import Stages, restore_image  # noqa: E402

FACE = {"frame": 0, "index": 0, "box": [1.25, 2.5, 3.75, 4.5], "score": 0.99, "landmarks": [[1.5, 2.5]] * 5}
OUTCOME = {"restored": True, "reason": "", "identity": 0.91}
SECONDS = {"read": 0.2511, "cut": 0.0123, "restore": 0.0131, "paste": 0.1512, "write": 0.0021}
MILLISECONDS = 13
"""What a face takes on a fast card, as README.md models it."""


def row(*values: object) -> None:
    print("| " + " | ".join(f"{it:.3g}" if isinstance(it, float) else str(it) for it in values) + " |")  # noqa: T201


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """CPU seconds, and by how many megabytes the process grew at its largest."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak so far
    before, began = memory("VmRSS"), time.process_time()
    work()
    return time.process_time() - began, memory("VmHWM") - before


def memory(kind: str) -> float:
    """Megabytes, under a name that Linux has for them."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split(f"{kind}:")[1].split()[0]) / 1024


def plan(options: argparse.Namespace) -> None:
    """Of files that are there by their names alone, but for resuming, which asks the disk about each."""
    count = options.paths
    with tempfile.TemporaryDirectory(dir=options.work) as place:
        folder = Path(place)
        listing = folder / "list.txt"
        listing.write_text("".join(f"photos/{n % 1000:03}/IMG_{n:07}.jpg\n" for n in range(count)), encoding="utf-8")
        kept: dict[str, Any] = {}
        row(f"{count} paths", "CPU seconds", "MB more at the peak")
        row(*["---"] * 3)
        read = lambda: kept.update(all=find_inputs([Path(f"@{listing}")], recursive=True).inputs)  # noqa: E731
        row("read a list of them", *timed(read))
        row("find clashes", *timed(lambda: find_clash(output_names(kept["all"]))))
        row("find what would be written over", *timed(lambda: find_overwritten(kept["all"], folder / "out")))
        shard = Shard(3, 8)
        row("take the third of eight parts", *timed(lambda: [one for one in kept["all"] if shard.has(one.name)]))
        journal = Journal(folder / "out", Shard(), {})

        done = Entry("", "", DONE, "1 of 1 face restored", faces=(FACE | OUTCOME,), seconds=SECONDS)
        done = replace(done, width=4000, height=3000, options="0" * 16, source="5123456-1764140400123456789")

        def write() -> None:
            for one in kept["all"]:
                journal.add(Entry(one.path, one.name, "begun"))
                journal.add(replace(done, input=one.path, output=one.name))

        row("write the journal", *timed(write))
        row("read it", *timed(lambda: marks(entries(folder / "out"))))
        row("decide what is left (no output is there)", *timed(lambda: left_to_do(kept["all"], folder / "out", "")))
        row("report: text", *timed(lambda: kept.update(summary=sum_up(folder / "out"))))
        row("report: CSV", *timed(lambda: write_report(folder / "t.csv", as_csv(folder / "out"))))
        html = lambda: write_report(folder / "t.html", as_page(folder / "out", kept["summary"], 0))  # noqa: E731
        row("report: page without photos", *timed(html))
        print(f"\nThe journal has {journal.path.stat().st_size / count:.0f} bytes a photo.")  # noqa: T201


def files(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(dir=options.work) as place:
        path = Path(place) / "photo.jpg"
        photo = Image.open(ROOT / "photos" / "astronaut.png").convert("RGB").resize((4000, 3000))
        grain = np.random.default_rng(0).integers(-6, 7, (3000, 4000, 3))
        Image.fromarray((np.array(photo) + grain).clip(0, 255).astype(np.uint8)).save(path, quality=92)
        read, wrote = [], []
        torch.set_num_threads(1)
        for _ in range(options.rounds):
            began = time.process_time()
            known = osd.read_photo(path)
            between = time.process_time()
            encode_photo(path, known.pixels, known)
            read.append(between - began)
            wrote.append(time.process_time() - between)
    total = min(read) + min(wrote)
    row("12 MP JPEG", "CPU seconds")
    row("---", "---")
    row("read", min(read))
    row("write", min(wrote))
    row(f"cores that a card of {MILLISECONDS} ms a face needs, one face a photo", total / MILLISECONDS * 1000)


class Waiting:
    """A restorer that computes nothing: it waits so many seconds for every batch."""

    crop_size, notice, options = 512, "", frozenset({"batch_size"})

    def __init__(self, seconds: float, most: int = 8):
        self.seconds, self.most, self.times = seconds, most, list[tuple[float, float]]()

    def at_once(self, faces: int, batch_size: int | None = None) -> int:
        return min(self.most, faces)

    def restore(self, crops, options, *, prompts=None, on_batch=None):
        for _ in range(0, len(crops), self.most):
            began = time.monotonic()
            time.sleep(self.seconds)
            self.times.append((began, time.monotonic()))
        return crops


def small_album(folder: Path, count: int) -> None:
    portrait = Image.open(ROOT / "photos" / "astronaut.png").convert("RGB")
    folder.mkdir()
    for number in range(count):
        portrait.resize((side_of(number),) * 2).save(folder / f"{number:04}.jpg")


def side_of(number: int) -> int:
    return 400 + number % 5 * 20


def known_face(name: str) -> osd.Faces:
    """Of a photo of `small_album`: finding it is the device's work, too."""
    side = side_of(int(Path(name).stem))
    return faces_of_boxes([[(0.35 * side, 0.1 * side, 0.55 * side, 0.38 * side)]], side, side)


def waiting(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(dir=options.work) as place:
        folder = Path(place)
        small_album(folder / "in", options.photos)
        restorer = Waiting(1.0)
        on_host = PhotoOptions(color="none")  # colours are matched where crops are: on the device
        stream = Stream(PhotoWork(Stages(restorer, on_host), known_face))
        began = time.process_time(), time.monotonic()
        done = list(stream.run(jobs(find_inputs([folder / "in"]).inputs, folder / "out", overwrite=False)))
    first, last = restorer.times[0][0], restorer.times[-1][1]
    busy = sum(end - start for start, end in restorer.times)
    row(
        "photos", "batches of 8", "waited, s", "first to last, s", "idle", "CPU seconds of all else", "processor / wall"
    )
    row(*["---"] * 7)
    cpu, wall = time.process_time() - began[0], time.monotonic() - began[1]
    row(len(done), len(restorer.times), busy, last - first, f"{1 - busy / (last - first):.1%}", cpu, cpu / wall)


def cores(options: argparse.Namespace) -> None:
    """The processor time that each way spends a second, as a share of all cores. Nothing else should run meanwhile."""
    count = os.cpu_count() or 1
    row("way", "seconds", "CPU seconds", f"of {count} cores busy")
    row(*["---"] * 4)
    with tempfile.TemporaryDirectory(dir=options.work) as place:
        folder = Path(place)
        small_album(folder / "in", options.photos)
        for name, way in (("one photo at a time", one_by_one), ("an album", as_an_album)):
            with get_context("spawn").Pool(1) as alone:  # neither finds the threads of the other
                wall, cpu = alone.apply(spent, (way, folder))
            row(name, wall, cpu, f"{cpu / wall / count:.0%}")


def spent(way: Callable[[Path, Any, Any], None], folder: Path) -> tuple[float, float]:
    """Seconds and CPU seconds, without what loading the networks takes."""
    model, detector = osd.load_model(), osd.load_detector("starter")
    began = time.monotonic(), time.process_time()
    way(folder, model, detector)
    return time.monotonic() - began[0], time.process_time() - began[1]


def one_by_one(folder: Path, model: Any, detector: Any) -> None:
    (folder / "single").mkdir()
    for one in find_inputs([folder / "in"]).inputs:
        photo = osd.read_photo(one.path)
        osd.write_photo(folder / "single" / one.name, restore_image(photo.pixels, model, detector).image, photo)


def as_an_album(folder: Path, model: Any, detector: Any) -> None:
    work = PhotoWork(Stages(as_restorer(model), PhotoOptions(), detector))
    stream = Stream(work, restorers=restorers_on("cpu"))
    for _ in stream.run(jobs(find_inputs([folder / "in"]).inputs, folder / "out", overwrite=False)):
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("plan", "files", "waiting", "cores"))
    parser.add_argument("--paths", type=int, default=1_000_000)
    parser.add_argument("--photos", type=int, default=160)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", type=Path, help="a folder for temporary files")
    options = parser.parse_args()
    {"plan": plan, "files": files, "waiting": waiting, "cores": cores}[options.what](options)


if __name__ == "__main__":
    main()

"""What a Ray cluster costs and gives an album, on clusters of several nodes that are all this machine.

    python benchmarks/cluster.py kill        # 200 photos, one of two nodes killed in the middle
    python benchmarks/cluster.py scale       # 1, 2, 4, 8 actors whose restorer only waits; beside the plain stream
    python benchmarks/cluster.py constants   # what planning, scheduling and the journal take a block and a photo

Faces are known and small, and restoring is waiting: what is measured is everything else.
"""

import argparse
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
os.environ["PYTHONPATH"] = str(ROOT)  # for Ray's processes
os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from osdface_core import Faces  # noqa: E402
from osdface_core.album import cluster  # noqa: E402
from osdface_core.album.journal import BEGUN, DONE, entries, parts  # noqa: E402
from osdface_core.album.plan import Input, find_inputs  # noqa: E402
from osdface_core.album.resume import Todo, jobs  # noqa: E402
from osdface_core.album.stream import Stream  # noqa: E402
from osdface_core.album.work import PhotoWork  # noqa: E402
from osdface_core.detection.boxes import faces_of_boxes  # noqa: E402
from osdface_core.options import PhotoOptions  # noqa: E402
from osdface_core.pipeline import Stages  # noqa: E402

SIDE, BATCH = 96, 4


class Waiting:
    """A restorer that waits so many seconds for every batch."""

    crop_size, notice, options = 64, "", frozenset({"batch_size"})

    def __init__(self, seconds: float):
        self.seconds = seconds

    def at_once(self, faces: int, batch_size: int | None = None) -> int:
        return min(BATCH, faces)

    def restore(self, crops, options, *, prompts=None, on_batch=None):
        for _ in range(0, len(crops), BATCH):
            time.sleep(self.seconds)
        return crops


def one_face(_name: str) -> Faces:
    return faces_of_boxes([[(20.0, 20.0, 70.0, 70.0)]], SIDE, SIDE)


def open_stream(seconds: float, ready: Path | None = None, actors: int = 1) -> Stream:
    """ready: a folder in which all actors wait for each other, so that their starts are not counted."""
    if ready is not None:
        (ready / str(os.getpid())).touch()
        while len(list(ready.iterdir())) < actors:
            time.sleep(0.05)
    return Stream(PhotoWork(Stages(Waiting(seconds), PhotoOptions()), one_face), options="-")


def album(folder: Path, count: int) -> list[Input]:
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3), np.uint8)
    Image.fromarray(noise).save(folder / "first.jpg")
    for number in range(count):
        shutil.copy(folder / "first.jpg", folder / f"{number:05}.jpg")
    (folder / "first.jpg").unlink()
    return find_inputs([folder]).inputs


@contextmanager
def nodes(*processors: int) -> Iterator[list]:
    from ray import shutdown
    from ray.cluster_utils import Cluster as Nodes

    made = Nodes()
    try:
        yield [made] + [made.add_node(num_cpus=count, object_store_memory=100_000_000) for count in processors]
    finally:
        shutdown()
        made.shutdown()


def row(*values: object) -> None:
    print("| " + " | ".join(f"{it:.3g}" if isinstance(it, float) else str(it) for it in values) + " |", flush=True)  # noqa: T201


def kill(folder: Path, options: argparse.Namespace) -> None:
    inputs, out = album(folder / "in", options.photos), folder / "out"
    with nodes(1, 1) as (made, _, second):
        pool = cluster.Cluster(made.address, partial(open_stream, 1.0), out, gpu=False)

        def killer() -> None:
            while len(list(out.glob("*.jpg"))) < options.photos // 4:
                time.sleep(0.1)
            made.remove_node(second, allow_graceful=False)

        threading.Thread(target=killer, daemon=True).start()
        said = list(pool.run(Todo(inputs), False, 2, options.block))
    begun = sum(entry.state == BEGUN for entry in entries(out))
    for path in out.glob("*.jpg"):
        Image.open(path).load()
    left = [path.name for path in out.iterdir() if path.suffix != ".jpg" and path.name != ".osdface"]
    row("photos", "said to be done", "whole files", "begun in all", "left behind")
    row(*["---"] * 5)
    row(len(inputs), sum(it.state == DONE for it in said), len(list(out.glob("*.jpg"))), begun, left or "nothing")


def begun(part: Path) -> float:
    """When a part of the journal was begun: an actor has been given a block."""
    return datetime.strptime(part.name[:22], "%Y%m%d-%H%M%S-%f").replace(tzinfo=timezone.utc).timestamp()


def scale(folder: Path, options: argparse.Namespace) -> None:
    row("actors", "photos", "seconds", "photos a second", "of linear")
    row(*["---"] * 5)
    first = 0.0
    for actors in (0, *options.actors):
        count = 2 * options.block * max(actors, 1)
        place = folder / str(actors)
        place.mkdir()
        inputs, ready = album(place / "in", count), place / "ready"
        ready.mkdir()
        if not actors:
            began = time.time()
            list(open_stream(1.0).run(jobs(inputs, place / "out", overwrite=False)))
        else:
            with nodes(actors + 1) as (made, _):
                pool = cluster.Cluster(made.address, partial(open_stream, 1.0, ready, actors), place / "out", gpu=False)
                list(pool.run(Todo(inputs), False, actors, options.block))
            began = min(map(begun, parts(place / "out")[1:]))  # the first one is the command's own
        seconds = max(path.stat().st_mtime for path in (place / "out").glob("*.jpg")) - began
        first = first or (count / seconds if actors else 0.0)
        of_linear = f"{count / seconds / first / actors:.0%}" if actors else "plain stream"
        row(actors, count, seconds, count / seconds, of_linear)


def constants(folder: Path, options: argparse.Namespace) -> None:
    """An actor that does nothing, for many blocks."""
    inputs = [Input("/photos", f"{n % 1000:03}/IMG_{n:07}.jpg") for n in range(options.blocks * options.block)]
    with nodes(2) as (made, _):
        cluster.Actor = Nothing
        pool = cluster.Cluster(made.address, str, folder / "out", gpu=False)
        began, cpu = time.monotonic(), time.process_time()
        tables = list(cluster.blocks_of(Todo(inputs), False, options.block))
        planned = time.process_time() - cpu
        cpu = time.process_time()
        first = 0.0
        for _ in pool.run(Todo(inputs), False, 1, options.block):
            first = first or time.monotonic()
        wall, cpu = time.monotonic() - first, time.process_time() - cpu
    row("blocks", "cut into blocks, s", "driver CPU, ms a block", "first to last, ms a block", "before the first, s")
    row(*["---"] * 5)
    row(len(tables), planned, cpu / len(tables) * 1e3, wall / len(tables) * 1e3, first - began)


class Nothing:
    def __init__(self, site):
        pass

    def __call__(self, block):
        names = block["name"].to_pylist()
        return {"entry": [f'{{"input": "{name}", "output": "{name}", "state": "done"}}' for name in names]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("kill", "scale", "constants"))
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--actors", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--blocks", type=int, default=1000)
    parser.add_argument("--block", type=int, default=64, help="photos a block")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="cluster-"))
    try:
        {"kill": kill, "scale": scale, "constants": constants}[options.what](folder, options)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()

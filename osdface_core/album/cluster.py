"""An album on a Ray cluster: Ray Data gives blocks of photos to a pool of actors, each of which holds a stream.

Ray restarts what dies and gives its block to another actor, again and again: that one finds in the journal how far the
block has come, and leaves what has ended others.
"""

import json
import logging
import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import DeviceLostError, ImageError, OSDFaceError
from ..files.places import is_away
from ..libraries import library
from .devices import FATAL, LOST
from .journal import BEGUN, FAILED, BlockJournal, Entry, Journal, entries_in, parts_of
from .plan import Input, Shard
from .resume import Todo, jobs, output_name
from .stream import Stream

log = logging.getLogger("osdface")

BLOCK, BLOCKS = (64, 1024), 50
"""How many photos an actor is given at a time, at least and at most, and how many blocks it is to have: in the hundred
thousands they keep Ray busier than actors."""
HERE = "here"
"""In place of an address: the cluster that a job of Ray's runs on, or one of this machine alone."""
LEFT = "a process died twice on this photo. It is left as it is."


class Site(NamedTuple):
    """What all actors are told."""

    open_stream: Callable[[], Stream]
    output: Path
    folder: str
    """That the command runs in, which relative paths are meant from."""
    run: str
    """Its name, in the names of the parts of the journal."""
    blocks: int
    shared: Path | None
    """A file in the output folder, to tell whether an actor's machine has the same; None in an object store."""


class Cluster:
    """A pool of actors. It is stopped and abandoned as a `Stream` is."""

    def __init__(self, address: str, open_stream: Callable[[], Stream], output: Path, gpu: bool):
        """open_stream: opens a stream without a journal on an actor's machine. gpu: whether each actor takes one.

        Raises ImageError where the cluster cannot be reached.
        """
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        self.ray, self.open_stream, self.output, self.stopped = library("ray"), open_stream, output, False
        where = os.environ.get("RAY_ADDRESS", "local") if address == HERE else address
        try:
            self.ray.init(where, ignore_reinit_error=True, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as error:
            advice = "Check the address; where it asks for a token, RAY_AUTH_MODE=token has Ray send yours."
            raise ImageError(f"--ray {address}: the cluster cannot be reached ({error}). {advice}") from error
        self.resources = self.ray.cluster_resources()
        self.needs = {"num_gpus": 1} if gpu and self.resources.get("GPU") else {"num_cpus": 1}

    def size(self, photos: int) -> int:
        """How many actors there are to be: one for every GPU, or every processor but one, which reading may need."""
        most = self.resources.get("GPU", 0) if "num_gpus" in self.needs else self.resources.get("CPU", 1) - 1
        return max(min(int(most), -(-photos // BLOCK[0])), 1)

    def fingerprint(self) -> str:
        """Of the options and networks, as the actors have them. Raises what opening a stream raises there."""
        ask = self.ray.remote(**self.needs)(fingerprint)
        try:
            return self.ray.get(ask.remote(self.open_stream, os.getcwd()))
        except self.ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, OSDFaceError):
                raise error.cause from error
            raise

    def run(self, todo: Todo, overwrite: bool, size: int | None = None, block: int | None = None) -> Iterator[Entry]:
        """What becomes of each photo, block after block. What is lost with its block has no entry.

        size: how many actors. block: how many photos they are given at a time.
        """
        data, arrow, run = library("ray.data"), library("pyarrow"), secrets.token_hex(4)
        quiet(data)
        size = size or self.size(len(todo))
        block = block or min(max(len(todo) // (BLOCKS * size), BLOCK[0]), BLOCK[1])
        tables = [self.ray.put(arrow.table(one)) for one in blocks_of(todo, overwrite, block)]
        shared = None if is_away(self.output) else Journal(self.output, Shard(), {"ray": run}).path
        site = Site(self.open_stream, self.output, os.getcwd(), run, len(tables), shared)
        results = data.from_arrow_refs(tables).map_batches(
            Actor,
            fn_constructor_args=(site,),
            batch_size=None,
            batch_format="pyarrow",
            compute=data.ActorPoolStrategy(size=size, max_tasks_in_flight_per_actor=2),
            **self.needs,
        )
        for batch in results.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            for row in batch.to_pylist():
                yield Entry.from_json(json.loads(row["entry"]))
            if self.stopped:
                return

    def stop(self) -> None:
        """Begin nothing more, and end with the next block that is done."""
        self.stopped = True

    def abandon(self) -> None:
        """Nothing more: actors whose command is gone are ended by Ray."""
        self.stopped = True


class Actor:
    """What Ray keeps on a machine: a stream, which is given one block after the other."""

    def __init__(self, site: Site):
        """Raises ImageError where the output folder is not on this machine."""
        with suppress(OSError):
            os.chdir(site.folder)
        if site.shared is not None and not site.shared.exists():
            raise ImageError(f"{site.output}: it is not the same folder on all machines. Use one that they share.")
        self.site, self.stream = site, site.open_stream()

    def __call__(self, block: Any) -> dict[str, list[str]]:
        """What became of the photos in a block, which is a table of `blocks_of`."""
        rows = block.to_pylist()
        shard = Shard(rows[0]["block"] + 1, self.site.blocks)
        inputs = [Input(row["folder"], row["name"]) for row in rows]
        return {"entry": [json.dumps(entry.to_json()) for entry in self.entries(shard, inputs, rows[0]["overwrite"])]}

    def entries(self, shard: Shard, inputs: list[Input], overwrite: bool) -> Iterator[Entry]:
        """What becomes of the photos; those that have ended an actor come first and one by one, or are left."""
        known, deaths = how_far(self.site.output, shard, self.site.run)
        yield from known.values()
        rest = [one for one in inputs if output_name(one) not in known]
        suspects = [one for one in rest if deaths[output_name(one)]]
        for one in suspects:
            if deaths[output_name(one)] < FATAL:
                yield from self.restored(shard, [one], overwrite=True)
            else:
                yield from self.left(shard, one)
        yield from self.restored(shard, [one for one in rest if not deaths[output_name(one)]], overwrite)

    def restored(self, shard: Shard, inputs: list[Input], overwrite: bool) -> Iterator[Entry]:
        if not inputs:
            return
        output = self.site.output
        if is_away(output):
            self.note(shard, (Entry(one.path, output_name(one), BEGUN) for one in free(inputs, output, overwrite)))
        self.stream.journal = self.journal(shard)
        try:
            yield from self.stream.run(jobs(inputs, output, overwrite=overwrite))
        except DeviceLostError:
            os._exit(LOST)  # Ray starts another
        self.stream.journal.close()

    def left(self, shard: Shard, one: Input) -> Iterator[Entry]:
        entry = Entry(one.path, output_name(one), FAILED, error=f"{one.path}: {LEFT}")
        self.note(shard, [entry])
        yield entry

    def note(self, shard: Shard, entries: Iterable[Entry]) -> None:
        journal = self.journal(shard)
        for entry in entries:
            journal.add(entry)
        journal.close()

    def journal(self, shard: Shard) -> Journal | BlockJournal:
        output, run = self.site.output, self.site.run
        return BlockJournal(output, shard, run) if is_away(output) else Journal(output, shard, {}, run)


def fingerprint(open_stream: Callable[[], Stream], folder: str) -> str:
    with suppress(OSError):
        os.chdir(folder)
    return open_stream().options


def free(inputs: list[Input], output: Path, overwrite: bool) -> list[Input]:
    """Those whose outputs may be written."""
    if overwrite:
        return inputs
    with ThreadPoolExecutor() as pool:
        there = pool.map(lambda one: (output / output_name(one)).exists(), inputs)
        return [one for one, taken in zip(inputs, there, strict=True) if not taken]


def how_far(output: Path, shard: Shard, run: str) -> tuple[dict[str, Entry], Counter[str]]:
    """How far a block has come in a run: what is known of its outputs, and how often an actor ended at each.

    An actor that ends has begun photos in the last part that it wrote, and not ended them.
    """
    known: dict[str, Entry] = {}
    deaths: Counter[str] = Counter()
    for part in parts_of(output, shard, run):
        for entry in entries_in(part):
            if entry.state == BEGUN:
                deaths[entry.output] += 1
            else:
                known[entry.output] = entry
    return known, deaths


def blocks_of(todo: Todo, overwrite: bool, size: int = BLOCK[0]) -> Iterator[dict[str, list[Any]]]:
    """The photos in blocks, as columns of tables: those first that may have ended an earlier run, each alone."""
    ours = chain(chunks(todo.unfinished, 1), chunks(chain(todo.changed, todo.failed), size))
    blocks = chain(((photos, True) for photos in ours), ((photos, overwrite) for photos in chunks(todo.rest, size)))
    for number, (photos, over) in enumerate(blocks):
        folders, names = zip(*photos, strict=True)
        count = len(photos)
        yield {"block": [number] * count, "overwrite": [over] * count, "folder": list(folders), "name": list(names)}


def chunks(inputs: Iterable[Input], size: int) -> Iterator[list[Input]]:
    inputs = iter(inputs)
    return iter(lambda: list(islice(inputs, size)), [])


def quiet(data: Any) -> None:
    """Have Ray Data say only what goes wrong, and go on where a block is lost."""
    context = data.DataContext.get_current()
    context.enable_progress_bars, context.max_errored_blocks = False, -1
    logging.getLogger("ray.data").setLevel(logging.ERROR)

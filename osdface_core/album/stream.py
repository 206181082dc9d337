"""A stream of photos from disk to disk: read, cut, restored in whole batches, pasted and written beside each other.

Threads hand photos on in queues. What they hold together is bounded in bytes; a photo stalls only what waits for it.
"""

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from queue import Empty, Queue
from threading import Lock, Thread
from typing import Any

import torch

from ..errors import DeviceLostError, ImageError, OSDFaceError
from ..files.outputs import named
from ..files.photos import count_pixels, read_photo
from ..files.places import local
from ..options import Album
from .budget import Budget
from .disk import Disk
from .fingerprint import of_files
from .journal import BEGUN, DONE, FAILED, BlockJournal, Entry, Journal, is_full
from .under_way import Job, Parts, UnderWay, fits, left, photo_of, taken
from .work import Work

log = logging.getLogger("osdface")

PIXEL = 16
"""Bytes that each pixel of a photo takes, and each of its result, in whichever step that is the most."""
AHEAD = 8
"""Photos that wait between two steps, at most; crops that wait for a full batch are as many as that takes."""
PATIENCE = 2.0
"""Seconds that crops wait for more to fill their batch, at most."""
TICK = 0.05
THREADS = min(max(os.cpu_count() or 1, 2), 8)
"""That read, and as many that write."""


def restorers_on(device: str) -> int:
    """How many threads restore at once: two keep a CPU busier than one, whose steps are not all shared by its cores."""
    return min(2, torch.get_num_threads()) if torch.device(device).type == "cpu" else 1


class Stream:
    """Restores photos by `work`, many at a time. `run` may be called again and again, for one block after the other."""

    def __init__(
        self,
        work: Work,
        disk: Disk | None = None,
        *,
        journal: Journal | BlockJournal | None = None,
        options: str = "",
        memory: int = round(Album.memory * 1e9),
        restorers: int = 1,
    ):
        """journal: where it is written down what becomes of each photo. options: their fingerprint, for it.
        memory: how many bytes photos under way take together. restorers: how many threads restore at once; see
        `restorers_on`.
        """
        self.work, self.journal, self.options, self.memory = work, journal, options, memory
        self.disk = disk or Disk()
        self.stopped = self.full = False
        self.restorers = restorers
        self.lock, self.choosing = Lock(), Lock()

    def run(self, jobs: Iterable[Job]) -> Iterator[Entry]:
        """What becomes of each photo, as soon as it is known. Whatever goes wrong with one of them is in its entry.

        To be called by one thread at a time. After `stop` it ends in good order; `full` says that it stopped itself
        because nothing more can be written.
        """
        self.jobs, self.budget = iter(jobs), Budget(self.memory)
        self.ahead, self.readers, self.restoring, self.writers = 0, THREADS, self.restorers, THREADS
        self.batches = self.fill_batches()
        self.read: Queue[UnderWay | None] = Queue(AHEAD)
        self.found: Queue[UnderWay | None] = Queue(AHEAD)
        self.finished: Queue[UnderWay | None] = Queue(AHEAD)
        self.ended: Queue[Entry | BaseException | None] = Queue()
        restorers = [self.restore_all] * self.restorers
        for loop in (*[self.read_all] * THREADS, self.cut_all, *restorers, *[self.write_all] * THREADS):
            Thread(target=self.guarded, args=(loop,), daemon=True).start()
        ended = False
        try:
            while not ended:
                entry = patiently(self.ended)
                ended = entry is None
                if isinstance(entry, BaseException):
                    raise entry
                if entry is not None:
                    yield entry
        finally:
            self.stopped |= not ended
            self.budget.close()

    def stop(self) -> None:
        """Begin no more photos, and finish those whose faces are being restored."""
        self.stopped = True

    def abandon(self) -> None:
        """Write nothing more, and wait until what is being written is whole."""
        self.stopped = True
        self.disk.close()

    # What follows runs in threads of its own.

    def guarded(self, loop: Callable[[], None]) -> None:
        """A loop, whose own faults end the run."""
        try:
            loop()
        except BaseException as error:  # noqa: BLE001 (handed to the thread that called `run`)
            self.ended.put(error)

    def read_all(self) -> None:
        while (job := self.next_job()) is not None:
            item = UnderWay(job)
            item.error = self.attempt([item], "read", partial(self.read_one, item))
            if item.photo is not None:
                self.read.put(item)
            else:
                self.count(ahead=-1)
                self.end(item)
        if self.count(readers=-1) == 0:
            self.read.put(None)

    def next_job(self) -> Job | None:
        with self.lock:
            job = None if self.stopped else next(self.jobs, None)
            self.ahead += job is not None
        return job

    def count(self, **changes: int) -> int:
        """Change a number that threads share. Returns it."""
        with self.lock:
            for name, change in changes.items():
                number: int = getattr(self, name) + change
                setattr(self, name, number)
        return number

    def read_one(self, item: UnderWay) -> None:
        """The photo of an item, unless the run is over before there is room for it."""
        job = item.job
        self.disk.check_free(job)
        with local(job.input) as file:
            size = count_pixels(file) * round(PIXEL * (1 + self.work.growth)) + file.stat().st_size
            if self.budget.borrow(size):
                item.lent = size
                self.note(Entry(str(job.input), job.name, BEGUN))
                item.source = of_files(job.input)
                item.photo = read_photo(file)

    def cut_all(self) -> None:
        for group in self.groups():
            parts = [] if self.stopped else [(item, range(0)) for item in group]
            self.together(parts, "cut", self.cut_some)
            for item in group:
                if item.error is not None or not parts:
                    self.end(item)
                else:
                    self.found.put(item)
                self.count(ahead=-1)
        self.found.put(None)

    def groups(self) -> Iterator[list[UnderWay]]:
        """The photos that are read; those of one size that are there already together."""
        group: list[UnderWay] = []
        while True:
            try:
                item = self.read.get(block=not group)
            except Empty:
                yield group
                group = []
                continue
            if group and (item is None or not fits(group, item)):
                yield group
                group = []
            if item is None:
                return
            group.append(item)

    def cut_some(self, parts: Parts) -> None:
        names = [item.job.name for item, _ in parts]
        cuts = self.work.cut(names, [photo_of(item).pixels for item, _ in parts])
        for (item, _), cut in zip(parts, cuts, strict=True):
            item.cut = cut
            held = self.work.held(cut)
            item.lent += held
            self.budget.take(held)

    def restore_all(self) -> None:
        while (parts := self.next_batch()) is not None:
            self.restore_some(parts)
        if self.count(restoring=-1) == 0:
            for _ in range(THREADS):
                self.finished.put(None)

    def next_batch(self) -> Parts | None:
        with self.choosing:
            return next(self.batches, None)

    def fill_batches(self) -> Iterator[Parts]:
        """Faces to restore together: whole batches while there are enough, and every photo without a face by itself."""
        batch, waiting = self.work.batch, deque[UnderWay]()
        for item in self.cuts(waiting):
            if item is not None and not len(item.cut):
                yield self.taken(deque([item]), 1)
            elif item is not None:
                waiting.append(item)
            while self.stopped and waiting and not waiting[-1].begun:
                self.end(waiting.pop())
            while left(waiting) >= batch or (item is None and waiting):
                if parts := self.taken(waiting, batch):
                    yield parts

    def taken(self, waiting: deque[UnderWay], count: int) -> Parts:
        with self.lock:
            return taken(waiting, count)

    def cuts(self, waiting: Collection[UnderWay]) -> Iterator[UnderWay | None]:
        """The photos that are cut; and None whenever those that wait for a full batch should wait no longer."""
        until = 0.0
        while True:
            try:
                item = self.found.get(timeout=TICK)
            except Empty:
                starving = 0 < self.budget.waiting >= self.ahead  # nothing comes before something is finished
                if waiting and (starving or time.monotonic() > until):
                    yield None
                continue
            yield item
            if item is None:
                return
            if len(item.cut):
                until = time.monotonic() + PATIENCE

    def restore_some(self, parts: Parts) -> None:
        self.together(parts, "restore", self.restore_parts)
        for item, _ in parts:
            with self.lock:
                item.being_restored -= 1
                last = item.being_restored == 0 and (item.error is not None or item.begun == len(item.cut))
            if last and item.error is not None:
                self.end(item)
            elif last:
                self.finished.put(item)

    def restore_parts(self, parts: Parts) -> None:
        made = self.work.restore([(item.cut, numbers) for item, numbers in parts])
        for (item, numbers), part in zip(parts, made, strict=True):
            item.restored[numbers.start] = part

    def write_all(self) -> None:
        while (item := self.finished.get()) is not None:
            item.error = self.attempt([item], "paste", partial(self.paste_one, item))
            if item.error is None:
                item.error = self.attempt([item], "write", partial(self.write_one, item))
            self.end(item)
        if self.count(writers=-1) == 0:
            self.ended.put(None)

    def paste_one(self, item: UnderWay) -> None:
        photo = photo_of(item)
        made = self.work.finish(photo.pixels, item.cut, [part for _, part in sorted(item.restored.items())])
        item.cut, item.restored, item.made = (), {}, made.report
        item.photo = photo = replace(photo, pixels=made.image)
        item.content = self.disk.encode(item.job, photo)

    def write_one(self, item: UnderWay) -> None:
        job, photo, began = item.job, photo_of(item), time.monotonic()
        with self.disk.held():
            self.disk.write(job, item.content, item.made)
            seconds = item.seconds | {"write": time.monotonic() - began}
            item.entry = Entry(
                str(job.input),
                job.name,
                DONE,
                summary=item.made["summary"],
                faces=tuple(item.made.get("faces", ())),
                width=photo.pixels.shape[3],
                height=photo.pixels.shape[2],
                notes=photo.notes,
                seconds={step: round(value, 4) for step, value in seconds.items()},
                options=self.options,
                source=item.source,
            )
            self.note(item.entry)

    # What all of these threads do.

    def together(self, parts: Parts, step: str, work: Callable[[Parts], None]) -> None:
        """A step of several photos; where that fails, of each by itself, so that it fails for the one at fault."""
        error = self.attempt([item for item, _ in parts], step, partial(work, parts)) if parts else None
        for part in parts if error is not None else ():
            one = part[0]
            failed = self.attempt([one], step, partial(work, [part])) if len(parts) > 1 else error
            one.error = one.error or failed

    def attempt(self, items: Sequence[UnderWay], step: str, work: Callable[[], None]) -> OSDFaceError | None:
        """A step of some photos, timed. What goes wrong is returned, and named after the first of them."""
        began = time.monotonic()
        try:
            with named(items[0].job.input):
                work()
        except DeviceLostError:
            raise  # nothing would work any more: the run ends
        except OSDFaceError as error:
            return error
        finally:
            with self.lock:
                for item in items:
                    item.seconds[step] += (time.monotonic() - began) / len(items)
        return None

    def end(self, item: UnderWay) -> None:
        """A photo is done, has failed, or is not to be begun any more."""
        if item.error is not None:
            self.full |= is_full(item.error)
            self.stopped |= self.full
            item.entry = Entry(str(item.job.input), item.job.name, FAILED, error=str(item.error))
            error = self.attempt([item], "end", partial(self.note, item.entry))
            if error is not None:
                log.error("error: %s", error)
        self.budget.give_back(item.lent)
        item.lent, item.photo, item.cut, item.restored, item.content = 0, None, (), {}, b""
        if item.entry is not None:
            self.ended.put(item.entry)

    def note(self, entry: Entry) -> None:
        """Write down in the journal what becomes of a photo. A run that cannot do that any more is stopped."""
        if self.journal is None:
            return
        try:
            self.journal.add(entry)
        except OSError as error:
            self.stopped = self.full = True
            raise ImageError(f"{self.journal.path}: the journal cannot be written ({error.strerror}).") from error


def patiently(queue: "Queue[Any]") -> Any:
    """What comes next in a queue. Windows hears of Ctrl-C only between waits."""
    while True:
        try:
            return queue.get(timeout=0.2)
        except Empty:
            continue

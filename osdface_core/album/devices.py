"""An album on several devices: a process for each, which takes its shard, and is started again if it dies."""

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Thread
from typing import Protocol

from .journal import BEGUN, FAILED, Entry, Journal, Tail
from .plan import Input, Shard
from .resume import output_name

log = logging.getLogger("osdface")

STARTS = 3
"""How often a process is started at most."""
FATAL = 2
"""How often a process may die while a photo is under way, until that is left."""
LOST = 70
"""The exit code of a process whose device computes nothing more for it."""
TICK = 0.2

Work = Callable[[str, Shard, Sequence[Input], bool, Connection], None]
"""What a process does with device, shard, photos, whether to resume, and the connection that `listening` takes. It can
be pickled, writes a journal, and ends with the exit code 0 or 1."""


class Stoppable(Protocol):
    """What a process does, as long as it is let."""

    def stop(self) -> None:
        """Finish what is begun."""

    def abandon(self) -> None:
        """Write nothing more."""


@dataclass(eq=False)
class Worker:
    """A process, and what is known of it."""

    device: str
    shard: Shard
    inputs: list[Input]
    tail: Tail
    process: BaseProcess | None = None
    told: Connection | None = None
    starts: int = 0
    under_way: dict[str, str] = field(default_factory=dict)
    """What it has begun and not ended: inputs by their outputs."""


class Fleet:
    """The processes. It is stopped and abandoned as a `Stream` is."""

    def __init__(
        self, devices: Sequence[str], work: Work, shard: Shard, inputs: Sequence[Sequence[Input]], output: Path
    ):
        """work: what each process does. inputs: for each device its part of this shard's photos."""
        self.work, self.output, self.stopped, self.full = work, output, False, False
        self.fatal: Counter[str] = Counter()
        self.workers = []
        for number, device in enumerate(devices, start=1):
            part = shard.part(number, len(devices))
            self.workers.append(Worker(device, part, list(inputs[number - 1]), Tail(output, part)))

    def run(self, resume: bool) -> Iterator[Entry]:
        """What becomes of each photo, as soon as it is in the journal."""
        for worker in self.workers:
            self.start(worker, resume)
        running = list(self.workers)
        while running:
            ended = [worker for worker in running if worker.process is not None and not worker.process.is_alive()]
            for worker in running:
                yield from self.news(worker)
            for worker in ended:
                code = worker.process.exitcode if worker.process is not None else 0
                if self.stopped or code in (0, 1):
                    running.remove(worker)
                    continue
                log.error("the process on %s died (exit code %s)", worker.device, code)
                yield from self.blame(worker)
                if worker.starts < STARTS:
                    self.start(worker, True)
                else:
                    log.error("the process on %s died %d times: it is not started again", worker.device, STARTS)
                    running.remove(worker)
            time.sleep(TICK)

    def start(self, worker: Worker, resume: bool) -> None:
        context = get_context("spawn")
        theirs, worker.told = context.Pipe(duplex=False)
        arguments = (worker.device, worker.shard, worker.inputs, resume, theirs)
        worker.process = context.Process(target=self.work, args=arguments)
        worker.process.start()
        theirs.close()
        worker.starts += 1

    def news(self, worker: Worker) -> Iterator[Entry]:
        """What a process has written in its journal since."""
        for entry in worker.tail.new():
            if entry.state == BEGUN:
                worker.under_way[entry.output] = entry.input
            else:
                worker.under_way.pop(entry.output, None)
                yield entry

    def blame(self, worker: Worker) -> Iterator[Entry]:
        """Find the photos that have ended a process again, and leave them."""
        self.fatal.update(worker.under_way.keys())
        fatal = {name: path for name, path in worker.under_way.items() if self.fatal[name] >= FATAL}
        worker.under_way.clear()
        if not fatal:
            return
        worker.inputs = [one for one in worker.inputs if output_name(one) not in fatal]
        journal = Journal(self.output, worker.shard, {})
        for name, path in fatal.items():
            entry = Entry(path, name, FAILED, error=f"{path}: a process died twice on this photo. It is left as it is.")
            journal.add(entry)
        journal.close()
        yield from self.news(worker)

    def stop(self) -> None:
        """Have all processes finish what they have begun."""
        self.stopped = True
        self.tell("stop")

    def abandon(self) -> None:
        """Have all processes write nothing more, and end."""
        self.tell("abandon")
        for worker in self.workers:
            if worker.process is not None:
                worker.process.join(5)
                worker.process.kill()

    def tell(self, word: str) -> None:
        for worker in self.workers:
            if worker.told is not None and worker.process is not None and worker.process.is_alive():
                worker.told.send(word)


@contextmanager
def listening(told: Connection, stream: Stoppable) -> Iterator[None]:
    """Within, a process's stream is stopped or abandoned as its `Fleet` says; and stopped if that is gone."""

    def listen() -> None:
        try:
            while told.recv() == "stop":
                stream.stop()
        except (EOFError, OSError):
            stream.stop()
            return
        stream.abandon()
        os._exit(130)

    Thread(target=listen, daemon=True).start()
    yield

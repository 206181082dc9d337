"""The journal of an album: a JSON line for every photo, in a file of its own for every process that writes one.

In an object store, where nothing can be added to a file, the lines are in Parquet files, one for every block of photos.
"""

import errno
import json
import logging
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import datetime, timezone
from pathlib import Path
from threading import Lock
from typing import Any

from ..files.places import afresh, is_away
from ..serialization import Json
from .parquet import LINE, read_lines, write_lines
from .plan import JOURNAL, Shard, hashed

log = logging.getLogger("osdface")

BEGUN, DONE, FAILED = "begun", "done", "failed"
UNFINISHED, AT_FAULT = -1, -2
"""In place of the mark of an output that is not done."""
FULL = (errno.ENOSPC, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC))
"""What a system answers when nothing more can be written there, whatever its name."""


@dataclass(frozen=True)
class Entry:
    """What became of one photo."""

    input: str
    output: str
    """Its path in the output folder, with slashes."""
    state: str
    """begun, done or failed. Of several entries for one output the last holds."""
    summary: str = ""
    error: str = ""
    faces: tuple[Json, ...] = ()
    """`FaceReport.to_json` of every face that was found."""
    width: int = 0
    height: int = 0
    notes: tuple[str, ...] = ()
    """What a person should know about how it was read."""
    seconds: dict[str, float] | None = None
    """How long each step took."""
    options: str = ""
    """The fingerprint of the options and networks."""
    source: str = ""
    """The fingerprint of the input."""

    @property
    def mark(self) -> int:
        """What tells this result from one with other options, or of another input."""
        return hashed(f"{self.options} {self.source}")

    def to_json(self) -> Json:
        """Without what is empty."""
        every = ((name, getattr(self, name)) for name in FIELDS)
        return {name: value for name, value in every if value or name in ("input", "output", "state")}

    @classmethod
    def from_json(cls, data: Json) -> "Entry":
        """Raises TypeError or KeyError where this is no entry."""
        known = {name: data[name] for name in FIELDS if name in data}
        for name in ("faces", "notes"):
            known[name] = tuple(known.get(name, ()))
        return cls(**known)


FIELDS = tuple(field.name for field in fields(Entry))


class Journal:
    """A part of an output folder's journal, which one process writes. Others may read it meanwhile."""

    def __init__(self, output: Path, shard: Shard, about: Json, run: str = ""):
        """about: what its first line says about the run. Raises OSError where nothing can be written there.
        run: what `parts` finds the parts of this run by.
        """
        self.path = output / JOURNAL / (new_name(shard, run) + ".jsonl")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o666)
        self.lock = Lock()
        self.append({"run": about})

    def add(self, entry: Entry) -> None:
        """Raises OSError where it cannot be written whole: then nothing of it is."""
        self.append(entry.to_json())

    def append(self, line: Json) -> None:
        data = (json.dumps(line, separators=(",", ":")) + "\n").encode("ascii")
        with self.lock:
            end = os.fstat(self.file).st_size
            try:
                written = os.write(self.file, data)
                if written < len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            except OSError:
                with suppress(OSError):
                    os.ftruncate(self.file, end)
                raise

    def close(self) -> None:
        os.close(self.file)


class BlockJournal:
    """A part that is written at once, when it is closed: for an output folder in an object store."""

    def __init__(self, output: Path, shard: Shard, run: str = ""):
        self.path = output / JOURNAL / (new_name(shard, run) + ".parquet")
        self.entries: list[Entry] = []

    def add(self, entry: Entry) -> None:
        self.entries.append(entry)

    def close(self) -> None:
        """Raises OSError where it cannot be written."""
        columns = ("input", "output", "state", "error")
        rows = [{name: getattr(it, name) for name in columns} | {LINE: json.dumps(it.to_json())} for it in self.entries]
        write_lines(self.path, rows)


def new_name(shard: Shard, run: str) -> str:
    now = datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S-%f")
    return f"{now}-{shard.number}-of-{shard.of}-{run}{secrets.token_hex(4)}"


def parts(output: Path, pattern: str = "*") -> list[Path]:
    """The parts of the journal in an output folder, in the order in which they were begun. Raises OSError."""
    folder = afresh(output / JOURNAL)
    if not is_away(folder) and folder.is_dir():
        os.scandir(folder).close()  # raises OSError where it cannot be looked into, which `glob` passes over
    found = [*folder.glob(f"{pattern}.jsonl"), *folder.glob(f"{pattern}.parquet")]
    return sorted(found, key=lambda part: part.name)


def parts_of(output: Path, shard: Shard, run: str) -> list[Path]:
    """Those that were begun for a shard in one run."""
    return parts(output, f"*-{shard.number}-of-{shard.of}-{run}*")


def lines(part: Path) -> Iterator[Json]:
    """The lines of a part. What no process finished writing is left out, and said where it is not the last line."""
    broken = 0
    for line in raw_lines(part):
        try:
            data: Any = json.loads(line)
        except ValueError:
            broken += line.endswith(b"\n")
            continue
        if isinstance(data, dict):
            yield data
    if broken:
        log.warning("%s: %d line(s) cannot be read and are left out", part, broken)


def raw_lines(part: Path) -> Iterator[bytes]:
    if part.suffix == ".parquet":
        yield from read_lines(part)
        return
    with part.open("rb") as file:
        yield from file


def entries(output: Path) -> Iterator[Entry]:
    """All entries of the journal in an output folder, in the order in which they were written."""
    for part in parts(output):
        yield from entries_in(part)


def entries_in(part: Path) -> Iterator[Entry]:
    for line in lines(part):
        if "run" not in line:
            try:
                yield Entry.from_json(line)
            except (KeyError, TypeError) as error:
                log.warning("%s: an entry of the journal cannot be read (%s) and is left out", part, error)


class Tail:
    """What the processes of one shard write in a journal from now on."""

    def __init__(self, output: Path, shard: Shard):
        self.folder, self.pattern = output / JOURNAL, f"*-{shard.number}-of-{shard.of}-*.jsonl"
        self.places = {part: part.stat().st_size for part in self.folder.glob(self.pattern)}

    def new(self) -> Iterator[Entry]:
        """The entries that are whole by now, and were not given before."""
        for part in sorted(self.folder.glob(self.pattern)):
            with part.open("rb") as file:
                file.seek(self.places.get(part, 0))
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    self.places[part] = self.places.get(part, 0) + len(line)
                    data = json.loads(line)
                    if "run" not in data:
                        yield Entry.from_json(data)


def marks(written: Iterable[Entry]) -> dict[int, int]:
    """For every output that is an earlier run's own (hashed, for there may be millions): its mark, or UNFINISHED or
    AT_FAULT. What failed before it was begun is left out: what is there then is somebody else's.
    """
    known: dict[int, int] = {}
    for entry in written:
        key = hashed(entry.output)
        if entry.state != FAILED:
            known[key] = entry.mark if entry.state == DONE else UNFINISHED
        elif known.get(key) == UNFINISHED:
            known[key] = AT_FAULT
    return known


def is_full(error: BaseException | None) -> bool:
    """Whether an error comes from a disk on which nothing more can be written."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return True
        error = error.__cause__
    return False

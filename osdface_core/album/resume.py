"""What is left to do of an album of which an earlier run has done a part."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..files.formats import written_name
from ..files.places import has_scheme, is_away, list_files, place
from .fingerprint import of_file
from .journal import AT_FAULT, UNFINISHED, Entry, entries, marks
from .plan import Input, hashed
from .under_way import Job


@dataclass
class Todo:
    """The photos that are left."""

    rest: Sequence[Input]
    unfinished: list[Input] = field(default_factory=list)
    """What was under way when an earlier run ended: one of these may have ended it."""
    changed: list[Input] = field(default_factory=list)
    """What was done with other options, or has itself changed since."""
    failed: list[Input] = field(default_factory=list)
    """What was begun and failed."""
    done: int = 0

    def __len__(self) -> int:
        return sum(map(len, (self.rest, self.unfinished, self.changed, self.failed)))


def left_to_do(inputs: Sequence[Input], output: Path, options: str) -> Todo:
    """What the journal in an output folder does not have as done, with the same options, from the same file.

    What somebody else has put under the name of an output is not taken for done.
    """
    known = marks(entries(output))
    there = presence(output)
    sources = Sources()
    rest: list[Input] = []
    todo = Todo(rest)
    for one in inputs:
        name = output_name(one)
        mark = known.get(hashed(name))
        if mark is None:
            rest.append(one)
        elif mark == UNFINISHED:
            todo.unfinished.append(one)
        elif mark == AT_FAULT:
            todo.failed.append(one)
        elif not there(name):
            rest.append(one)
        elif mark != Entry("", "", "", options=options, source=sources.of(one)).mark:
            todo.changed.append(one)
        else:
            todo.done += 1
    return todo


def presence(output: Path) -> Callable[[str], bool]:
    """Whether an output of a name is there. An object store is asked once for all of them."""
    if not is_away(output):
        return lambda name: os.path.exists(os.path.join(output, name))
    return set(list_files(output, recursive=True)).__contains__


class Sources:
    """The fingerprints of inputs; of those in an object store from one list a folder."""

    def __init__(self) -> None:
        self.folders: dict[str, dict[str, str]] = {}

    def of(self, one: Input) -> str:
        """Empty for one that is not there."""
        if not has_scheme(one.folder):
            try:
                return of_file(one.path)
            except OSError:
                return ""
        if one.folder not in self.folders:
            self.folders[one.folder] = list_files(place(one.folder), recursive=True)
        return self.folders[one.folder].get(one.name, "")


def output_name(one: Input) -> str:
    """The path of an input's output in the output folder, with slashes."""
    return written_name(one.name).replace(os.sep, "/")


def jobs(inputs: Iterable[Input], output: Path, *, overwrite: bool) -> Iterator[Job]:
    """What a stream is given, made as it asks for it."""
    for one in inputs:
        name = output_name(one)
        yield Job(place(one.path), output / name, name, overwrite)

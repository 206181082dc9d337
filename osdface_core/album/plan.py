"""Which photos are to be restored, and where to: found, compared and divided in linear time, before any work."""

import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path, PurePath, PurePosixPath
from typing import NamedTuple

from ..errors import ImageError
from ..files.formats import READ_SUFFIXES, written_name
from ..files.names import expand, is_apple_double
from ..files.outputs import named
from ..files.places import has_scheme, is_away, list_files

JOURNAL = ".osdface"
"""The folder in an output folder that journals are in."""
LIST = ".txt"
"""How the names of lists end."""


class Input(NamedTuple):
    """A photo to restore: small, for there may be millions."""

    folder: str
    name: str
    """Its path within the folder: that of its output within the output folder, but for the suffix of some formats."""

    @property
    def path(self) -> str:
        return os.path.join(self.folder, self.name)


class Shard(NamedTuple):
    """A part of the inputs that is the same on every machine, without a word between them."""

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """From "2/8", the second of eight. Raises ValueError for anything else."""
        number, slash, of = text.partition("/")
        if not slash or not number.isdecimal() or not of.isdecimal() or not 1 <= int(number) <= int(of):
            raise ValueError(f"{text}: it must be I/N, such as 2/8 for the second of eight parts")
        return cls(int(number), int(of))

    def has(self, name: str) -> bool:
        """Whether a photo of this name (`Input.name`) belongs to it."""
        return self.of == 1 or hashed(name.replace(os.sep, "/")) % self.of == self.number - 1

    def part(self, number: int, of: int) -> "Shard":
        """One of several parts of this shard, each a shard of all inputs."""
        return Shard(self.number + (number - 1) * self.of, self.of * of)


@dataclass
class Plan:
    """The photos that were found."""

    inputs: list[Input] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What is not there or could not be looked into, and why."""
    notes: list[str] = field(default_factory=list)
    """What was left out on purpose, for people."""


def find_inputs(paths: Iterable[Path], *, recursive: bool = False, output: Path | None = None) -> Plan:
    """The photos that are named, those in the folders named, and those in lists.

    paths: files, folders, patterns, `@FILE` for a list of paths, a line each, and `-` for one on standard input, where
        they may also be separated by zero bytes, as `find -print0` writes them.
    recursive: also those in the folders' folders, and of relative paths in a list the folders; the trees are kept.
    output: is not looked into if it lies in a folder: what is there was written by an earlier run.
    Raises ImageError where a path cannot be read, and where there are no photos at all.
    """
    plan, given = Plan(), list(paths)
    for path in given:
        text = str(path)
        if text == "-" or (text.startswith("@") and not path.exists()):
            plan.inputs += listed(text, recursive)
            continue
        if is_away(path):
            plan.inputs += stored(path, recursive)
            continue
        for file in expand([path], recursive=recursive):
            with named(file):
                if not os.path.lexists(file):
                    plan.problems.append(f"{file}: there is no such file or folder. Check the path.")
                elif file.suffix.lower() == LIST and file.is_file():
                    plan.problems.append(f"{file}: this is no photo. If it is a list of photos, name it as @{file}.")
                elif not file.is_dir():
                    plan.inputs.append(Input(*os.path.split(file)))
                elif recursive:
                    plan.inputs += walk(file, plan, output)
                else:
                    names = sorted(found.name for found in file.iterdir() if is_photo_name(found.name))
                    plan.inputs += [Input(str(file), name) for name in names]
    if not plan.inputs and not plan.problems:
        where = ", ".join(map(str, given))
        advice = "" if recursive else " With --recursive, folders in it are looked into, too."
        raise ImageError(f"There are no photos in {where} ({', '.join(READ_SUFFIXES)}).{advice}")
    return plan


def listed(source: str, recursive: bool) -> Iterator[Input]:
    """The photos in a list: `@FILE`, or `-` for standard input."""
    if source == "-":
        data = sys.stdin.buffer.read()
    else:
        try:
            data = Path(source[1:]).read_bytes()
        except OSError as error:
            raise ImageError(f"{source[1:]}: this list cannot be read ({error.strerror}). Check the path.") from error
    lines = data.split(b"\0") if b"\0" in data else data.removeprefix(b"\xef\xbb\xbf").splitlines()
    for line in lines:
        path = os.fsdecode(line)
        if not path.strip():
            continue
        inside = (
            recursive and not os.path.isabs(path) and not has_scheme(path) and os.pardir not in PurePath(path).parts
        )
        yield Input("", os.path.normpath(path)) if inside else Input(*os.path.split(path))


def stored(path: Path, recursive: bool) -> Iterator[Input]:
    """The photos in a folder of another file system, or the one that is named."""
    with named(path):
        if path.is_file():
            yield Input(str(path.parent), path.name)
            return
        for name in sorted(list_files(path, recursive=recursive)):
            parts = PurePosixPath(name).parts
            if is_photo_name(parts[-1]) and JOURNAL not in parts:
                yield Input(str(path), name)


def walk(folder: Path, plan: Plan, output: Path | None) -> Iterator[Input]:
    """The photos in a folder and in its folders, in the order of their names; links to folders are not followed."""
    own = None if output is None else real(output)
    top = str(folder)

    def unreadable(error: OSError) -> None:
        if error.filename == top:
            raise error
        plan.problems.append(f"{error.filename}: this folder cannot be read ({error.strerror})")

    for place, folders, files in os.walk(top, onerror=unreadable):
        folders[:] = sorted(folders)
        for name in list(folders):
            inner = os.path.join(place, name)
            if name == JOURNAL:
                folders.remove(name)
            elif os.path.islink(inner):
                folders.remove(name)
                plan.notes.append(f"{inner}: a link to a folder is not followed. Name it to have it looked into.")
            elif own is not None and os.path.realpath(inner) == own:
                folders.remove(name)
                plan.notes.append(f"{inner}: not looked into, it is what is written to")
        prefix = os.path.relpath(place, top)
        for name in sorted(filter(is_photo_name, files)):
            yield Input(top, name if prefix == os.curdir else os.path.join(prefix, name))


def is_photo_name(name: str) -> bool:
    """Whether a file is taken for a photo in a folder: by its suffix."""
    return os.path.splitext(name)[1].lower() in READ_SUFFIXES and not is_apple_double(PurePath(name))


def find_clash(names: Iterable[str]) -> str | None:
    """The first name that is another's where case makes no difference, as on Windows and macOS."""
    seen: set[int] = set()
    for name in names:
        key = hashed(unicodedata.normalize("NFC", name).lower())
        if key in seen:
            return name
        seen.add(key)
    return None


def output_names(inputs: Iterable[Input], *, beside: bool = False) -> Iterator[str]:
    """The path of each input's output in the output folder. beside: of a JSON file beside it."""
    for one in inputs:
        name = written_name(one.name)
        yield os.path.splitext(name)[0] + ".json" if beside else name


def find_overwritten(inputs: Iterable[Input], output: Path) -> str | None:
    """The first input that some input's output in a folder would be written over."""
    there = real(output)
    folders: dict[str, str] = {}

    def key(folder: str, name: str) -> int:
        return hashed(os.path.normcase(os.path.normpath(os.path.join(folder, name))))

    def place(one: Input) -> str:
        return folders.setdefault(one.folder, real(one.folder))

    inputs = list(inputs)
    outputs = {key(there, written_name(one.name)) for one in inputs}
    meant = (one.path for one in inputs if key(place(one), one.name) in outputs)
    return next((path for path in meant if has_scheme(path) or os.path.exists(path)), None)


def real(folder: str | Path) -> str:
    """Its path without links; elsewhere there are none."""
    return str(folder) if has_scheme(str(folder)) else os.path.realpath(folder)


def hashed(text: str) -> int:
    """64 bits of a text, the same on every machine."""
    return int.from_bytes(blake2b(os.fsencode(text), digest_size=8).digest(), "little")

"""Atomic writes: files that are written whole or not at all, on every system, by any number of processes."""

import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from .file_lock import NO_LOCKS, FileLock, discard

TRIES, PAUSE = 10, 0.2
"""How often a file is put in its place, and the seconds between: scanners and indexers hold a new file that long."""

MAPPED = 1224
"""Windows' number for an error: the file is mapped into some program's memory."""


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Where to write what is to become `path`: an empty file beside it, which no other process writes to.

    It takes its place once the block has ended well. Otherwise it is removed, and what was at `path` stays. An OSError
    of the block is raised again with the path and the reason. Where another program holds on to `path`, what was
    written is kept under a free name, and the error says so.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError("a folder has this name")
        with partial_file(path) as partial:
            yield partial
            try:
                replace_patiently(partial, path)
            except OSError as error:
                if not is_in_use(error):
                    raise
                kept = keep(partial, path)
                raise OSError(
                    f"another program has it open, or it is read-only ({error.strerror}). Close that program: a "
                    f"viewer, a player, or ComfyUI where it uses this file. What was written is in {kept}"
                ) from error
    except OSError as error:
        raise OSError(f"{path}: cannot be written ({error.strerror or error}).") from error


@contextmanager
def partial_file(path: Path) -> Iterator[Path]:
    """An empty file in the folder of `path`, removed at the end if it is still there.

    Its name is the first that nobody holds the lock of. Under such a name there may be a killed run's file: nobody
    will finish it, and it is removed.
    """
    key = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:12]
    partials = (path.with_name(f".osdface-{key}-{number}.part") for number in count())
    partial, lock = claim(partials)
    try:
        sweep(partials)
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        yield partial
    finally:
        discard(partial)
        lock.release()


def claim(partials: Iterator[Path]) -> tuple[Path, FileLock]:
    """The first of `partials` that is free, and its lock. Where there are no locks, a name that nobody else has."""
    while True:
        partial = next(partials)
        lock = FileLock(partial.with_suffix(".lock"))
        try:
            if lock.acquire():
                if discard(partial):
                    return partial, lock
                lock.release()
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            return partial.with_name(f".osdface-{secrets.token_hex(12)}.part"), lock


def sweep(partials: Iterator[Path]) -> None:
    """Remove what killed runs have left under the next names, up to the first that is unused."""
    for partial in partials:
        lock = FileLock(partial.with_suffix(".lock"))
        if not lock.path.exists():
            return
        if lock.acquire():
            discard(partial)
            lock.release()


def replace_patiently(source: Path, target: Path) -> None:
    """`os.replace`, tried for two seconds while another program has one of them open. Raises OSError after that."""
    for _ in range(TRIES - 1):
        try:
            return os.replace(source, target)
        except OSError as error:
            if not is_in_use(error):
                raise
        time.sleep(PAUSE)
    os.replace(source, target)


def is_in_use(error: OSError) -> bool:
    """Whether a file could not be replaced because a program holds on to it, as Windows refuses it then."""
    return isinstance(error, PermissionError) or getattr(error, "winerror", None) == MAPPED


def keep(partial: Path, path: Path) -> Path:
    """Put what was to become `path` under a name beside it that is free. Returns that."""
    for number in count(1):
        free = path.with_name(f"{path.stem} ({number}){path.suffix}")
        try:
            os.close(os.open(free, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        except FileExistsError:
            continue
        replace_patiently(partial, free)
        break
    return free

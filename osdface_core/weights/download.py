"""Get an entry's files: resumed where a download broke off, checked, and whole under their final names or not there.

Files on the hub are addressed by huggingface_hub, so HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE hold. The transfer is
our own for all sources alike, because huggingface_hub starts over when its process has died.
"""

import hashlib
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import requests

from ..errors import ChecksumError, DownloadError
from ..files.atomic_write import replace_patiently
from ..files.file_lock import NO_LOCKS, FileLock, discard
from .catalog import Entry, File
from .files import sha256
from .transfer import ANOTHER_FILE, OnBytes, Remote, look_up, session, size_of, transfer
from .verify import check_size, known_sha256, record_sha256, wrong_content

log = logging.getLogger(__name__)

SPARE = 64 << 20
"""Bytes of the disk that a download leaves free."""

OnProgress = Callable[[str, int, int | None], None]
"""Called with the file's path, its bytes so far, and all of them where that is known. What it raises ends the work."""


def ignore(_path: str, _done: int, _all: int | None) -> None:
    """Nobody watches."""


def download(entry: Entry, folder: str | Path, on_progress: OnProgress = ignore) -> Path:
    """The entry's files, into `folder`; returns the folder, or the file where it is a single one.

    Files that are there already are left alone. A second process that wants the same file waits for the first.
    Raises DownloadError where no source has a file, TruncatedFileError where one that is there already is too short.
    """
    for file in entry.files:
        final = Path(folder) / file.path
        final.parent.mkdir(parents=True, exist_ok=True)
        with locked(final):
            if final.exists():
                check_size(final, file)
            else:
                download_file(file, entry, final, on_progress)
    return entry.place(Path(folder))


@contextmanager
def locked(final: Path) -> Iterator[None]:
    """Only one process at a time works on a file."""
    lock = FileLock(final.with_name(f".{final.name}.lock"))
    try:
        if not lock.acquire():
            log.info("%s: another process is downloading it, waiting", final.name)
            while not lock.acquire():
                time.sleep(0.1)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        log.warning("%s: there are no locks on this disk, so run no other download of it now", final.name)
    try:
        yield
    finally:
        lock.release()


def download_file(file: File, entry: Entry, final: Path, on_progress: OnProgress) -> None:
    """One file from the first source that has it, to `final`, whole or not at all."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise DownloadError(
            final, "it is not there, and downloads are off (HF_HUB_OFFLINE).", f"Get it {entry.by_hand}"
        )
    problems = []
    with session() as http:
        for source in entry.sources:
            try:
                remote = look_up(http, source, file)
                expected = known_sha256(final, file) or remote.sha256
                part = part_of(final, expected or remote.etag)
                remote = within_space(part, remote)
                digest = transfer_checked(http, remote, part, file, expected, partial(on_progress, file.path))
            except (requests.RequestException, ChecksumError) as error:
                problems.append(f"{source}: {error}")
                log.warning("%s: %s", final.name, problems[-1])
                continue
            put_in_place(part, final)
            if file.sha256 is None:
                record_sha256(final, digest)
            return
    advice = f"Try again later: what has arrived is kept. Or get it {entry.by_hand}"
    raise DownloadError(final, f"no source has it ({'; '.join(problems)}).", advice)


def part_of(final: Path, identity: str) -> Path:
    """Where a file grows. Its name tells contents apart, so that only what belongs together is ever joined.

    What is there under another name too, or is a link, is a stranger's: it is taken away, and not written to.
    """
    part = final.with_name(f"{final.name}.{hashlib.sha256(identity.encode()).hexdigest()[:12]}.part")
    if not identity or part.is_symlink() or (part.exists() and part.stat().st_nlink > 1):
        part.unlink(missing_ok=True)
    return part


def put_in_place(part: Path, final: Path) -> None:
    try:
        replace_patiently(part, final)
    except OSError as error:
        problem = f"it has arrived, but cannot get its name ({error.strerror})."
        advice = f"Close the program that uses {part.name}, and run this again: nothing is fetched twice."
        raise DownloadError(final, problem, advice) from error


def within_space(part: Path, remote: Remote) -> Remote:
    """The same file, of which no more is taken than the disk has room for, however long it says it is."""
    free = shutil.disk_usage(part.parent).free
    room = size_of(part) + free - SPARE
    if (remote.size or 0) > room:
        problem = f"{(remote.size or 0) / 1e9:.2f} GB have to fit, but the disk has only {free / 1e9:.2f} GB free."
        raise DownloadError(part, problem, "Make room, or choose another folder.")
    return replace(remote, most=min(remote.most, room))


def transfer_checked(
    http: requests.Session, remote: Remote, part: Path, file: File, expected: str | None, on_progress: OnBytes
) -> str:
    """Fill `part` and return its sha256. Bytes of an earlier attempt that prove wrong are fetched once more."""
    resumed = size_of(part) > 0
    while True:
        try:
            transfer(http, remote, part, on_progress)
        except ChecksumError:
            discard(part)
            raise
        digest = sha256(part)
        problem = wrong_content(part, file, digest, expected)
        if not problem:
            return digest
        discard(part)
        if not resumed:
            raise ChecksumError(remote.url, problem, ANOTHER_FILE)
        resumed = False

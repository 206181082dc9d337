"""Paths of this machine, and of file systems that fsspec knows: s3://bucket/photo.jpg, gs://, memory://, and others.

Those are universal-pathlib's `UPath`, which has what a `Path` has; in types they are called `Path`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Any

from ..errors import ImageError, OSDFaceError
from ..libraries import library
from .atomic_write import atomic_write

VERSIONS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "updated", "created")
"""What tells one state of a file from another, under the names that file systems have for it, the surest first."""


def place(text: str) -> Path:
    """The path that a text names. Raises MissingLibraryError, and ImageError for a file system that is not known."""
    if not has_scheme(text):
        return Path(text)
    try:
        return library("upath").UPath(text)
    except (ValueError, ImportError) as error:
        raise ImageError(f"{text}: this kind of place cannot be used ({error}).") from error


def has_scheme(text: str) -> bool:
    return "://" in text


def is_away(path: Path) -> bool:
    """Whether it is not one of this machine's own."""
    return not isinstance(path, PurePath)


@contextmanager
def local(path: Path) -> Iterator[Path]:
    """The file, or within a copy of it on this machine, by whose path it is not called in errors."""
    if not is_away(path):
        yield path
        return
    with TemporaryDirectory(prefix="osdface-") as folder:
        copy = Path(folder) / path.name
        copy.write_bytes(path.read_bytes())
        try:
            yield copy
        except OSDFaceError as error:
            raise ImageError(str(error).replace(str(copy), str(path))) from error


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; elsewhere in one call, as object stores take it. Makes the folders it is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if is_away(path):
        away: Any = path
        away.fs.pipe_file(away.path, content)
        return
    with atomic_write(path) as partial:
        partial.write_bytes(content)


def afresh(folder: Path) -> Any:
    """The same folder. What its file system remembers of it is forgotten: others have written since."""
    away: Any = folder
    if is_away(folder):
        away.fs.invalidate_cache()
    return away


def list_files(folder: Path, *, recursive: bool) -> dict[str, str]:
    """The files in a folder elsewhere, by their paths in it with slashes: their fingerprints."""
    away = afresh(folder)
    found = away.fs.find(away.path, maxdepth=None if recursive else 1, detail=True)
    top = away.path.rstrip("/") + "/"
    return {name.removeprefix(top): fingerprint(about) for name, about in found.items() if name.startswith(top)}


def fingerprint_of(path: Path) -> str:
    """Of a file elsewhere. Raises OSError where it is not there."""
    away: Any = path
    return fingerprint(away.fs.info(away.path))


def fingerprint(about: Mapping[str, Any]) -> str:
    version = next((about[name] for name in VERSIONS if about.get(name)), "")
    moment = version.timestamp() if isinstance(version, datetime) else version
    return f"{about.get('size')}-{moment}"

"""Is a file, byte for byte, the one it should be? Known by the catalogue's sha256 or git blob, or by a recorded sha256.

The record is `NAME.sha256` beside it, as `sha256sum` writes it. It is made when a file is first downloaded or verified.
"""

from pathlib import Path

from ..errors import ChecksumError, TruncatedFileError, WeightsNotFoundError
from ..files.atomic_write import atomic_write
from .catalog import Entry, File
from .files import git_blob, sha256


def verify(entry: Entry, place: Path) -> dict[Path, str]:
    """The sha256 of each file of the entry, at the place where it was found: checked, or (the first time) recorded.

    Raises WeightsNotFoundError, TruncatedFileError or ChecksumError for the first file that is missing or wrong.
    """
    digests = {}
    for file, path in entry.paths(place).items():
        if not path.is_file():
            raise WeightsNotFoundError(path, "this file is missing.", entry.how_to_get)
        check_size(path, file)
        expected, digest = known_sha256(path, file), sha256(path)
        problem = wrong_content(path, file, digest, expected)
        if problem:
            raise ChecksumError(path, problem, "It is damaged, or another file: remove it and get it again.")
        if expected is None:
            record_sha256(path, digest)
        digests[path] = digest
    return digests


def wrong_content(path: Path, file: File, digest: str, expected: str | None) -> str:
    """What is wrong with a file of this sha256, where another was expected or git knows it by another name; or ""."""
    if expected not in (None, digest):
        return f"its sha256 is {digest}, expected {expected}."
    if file.git_blob is not None and (blob := git_blob(path)) != file.git_blob:
        return f"git knows it as {blob}, expected {file.git_blob}."
    return ""


def check_size(path: Path, file: File) -> None:
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        raise TruncatedFileError(path, f"it has {size} bytes, expected {file.size}.", "Remove it and get it again.")


def known_sha256(path: Path, file: File) -> str | None:
    """What the file's sha256 must be: from the catalogue, else from the record beside the file."""
    record = record_of(path)
    return file.sha256 or (record.read_text(encoding="utf-8").split()[0] if record.is_file() else None)


def record_sha256(path: Path, digest: str) -> None:
    with atomic_write(record_of(path)) as partial:
        partial.write_text(f"{digest}  {path.name}\n", encoding="utf-8", newline="\n")


def record_of(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")

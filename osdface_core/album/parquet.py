"""Lines of a journal as a Parquet file, for object stores: written at once, and read by whatever reads tables."""

import logging
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

from ..files.places import write_whole
from ..libraries import library
from ..serialization import Json

log = logging.getLogger("osdface")

LINE = "line"
"""The column that lines are in. The others are for people."""


def write_lines(path: Path, rows: Sequence[Json]) -> None:
    """rows: of one kind, each with its LINE. Raises OSError where they cannot be written."""
    content = BytesIO()
    library("pyarrow.parquet").write_table(library("pyarrow").Table.from_pylist(list(rows)), content)
    write_whole(path, content.getvalue())


def read_lines(path: Path) -> Iterator[bytes]:
    """Of a file that is no Parquet there are none, which is said."""
    with path.open("rb") as file:
        try:
            table = library("pyarrow.parquet").read_table(file, columns=[LINE])
        except (OSError, ValueError) as error:
            log.warning("%s: this part of the journal cannot be read (%s) and is left out", path, error)
            return
    yield from (f"{line}\n".encode() for line in table[LINE].to_pylist())

"""What commands write: never over a file that is there, unless asked to; and what they say on a terminal."""

import copy
import json
import logging
import sys
import traceback
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath, PureWindowsPath

import torch

from ..errors import ImageError, OSDFaceError
from ..files.atomic_write import atomic_write
from ..serialization import Json
from .names import refused_by_windows

LONGEST = 2000
"""Characters of an error or a warning: some quote what a file holds."""


def refuse_to_overwrite(outputs: Iterable[Path], force: bool) -> None:
    for output in outputs:
        if sys.platform == "win32" and (problem := refused_by_windows(PureWindowsPath(output))):
            raise ImageError(f"{output}: it cannot be written there ({problem}). Choose another name.")
        if output.exists() and not force:
            raise ImageError(f"{output} exists already. Choose another place, or overwrite it with --force.")


def write_json(path: Path, content: Json | list[Json]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8", newline="\n")


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Whatever goes wrong within with the file at `path` is raised as an OSDFaceError that names it."""
    try:
        yield
    except (OSDFaceError, OSError) as error:
        if isinstance(error, OSDFaceError) and str(path) in str(error):
            raise
        raise ImageError(f"{path}: {error}") from error
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise ImageError(f"{path}: there is not enough memory for it. Make it smaller first.") from error
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        fault = f"{type(error).__name__}: {error}; {Path(place.filename).name}, line {place.lineno}"
        raise ImageError(f"{path}: this program has a fault ({fault}). Please report it.") from error


def printable(text: str, *, lines: bool = False) -> str:
    """`text` with all that steers a terminal or cannot be written spelled out, as Python does.

    lines: leave line breaks as they are.
    """
    return "".join(
        character
        if character.isprintable() or unicodedata.category(character) == "Zs" or (lines and character == "\n")
        else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


class Messages(logging.Formatter):
    """Messages as they are, but printable: errors and warnings in one line of bounded length, paths in one, too."""

    def format(self, record: logging.LogRecord) -> str:
        ours, serious = record.name.startswith("osdface"), record.levelno >= logging.WARNING
        if isinstance(record.args, tuple):
            record = copy.copy(record)
            record.args = tuple(printable(str(it)) if isinstance(it, PurePath) else it for it in record.args or ())
        text = printable(super().format(record), lines=not (ours and serious))
        return text[:LONGEST] + " …" if serious and len(text) > LONGEST else text

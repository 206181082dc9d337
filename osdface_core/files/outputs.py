"""What is written: never over a file that is there, unless asked to; and whatever goes wrong with a file, named."""

import json
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath

import torch

from ..devices import is_lost
from ..errors import DeviceLostError, ImageError, OSDFaceError
from ..serialization import Json
from .names import refused_by_windows
from .places import write_whole


def refuse_to_overwrite(outputs: Iterable[Path], force: bool) -> None:
    for output in outputs:
        if sys.platform == "win32" and (problem := refused_by_windows(PureWindowsPath(output))):
            raise ImageError(f"{output}: it cannot be written there ({problem}). Choose another name.")
        if output.exists() and not force:
            raise ImageError(f"{output} exists already. Choose another place, or overwrite it with --force.")


def refuse_unwritable(folder: Path) -> None:
    """Raises ImageError where nothing can be written in a folder, or it cannot be made: before any work."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not there.is_dir():
        raise ImageError(f"{there}: this is no folder. Choose another place.")
    if not os.access(there, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise ImageError(f"{there}: nothing can be written in this folder. Choose another place.")


def write_json(path: Path, content: Json | list[Json]) -> None:
    write_whole(path, (json.dumps(content, indent=1) + "\n").encode())


def told(error: Exception) -> str:
    """What an error says, without the number and quotes that Python gives those of the system."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Whatever goes wrong within with the file at `path` is raised as an OSDFaceError that names it."""
    try:
        yield
    except (OSDFaceError, OSError) as error:
        if isinstance(error, OSDFaceError) and str(path) in str(error):
            raise
        said = told(error)
        raise ImageError(said if str(path) in said else f"{path}: {said}") from error
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise ImageError(f"{path}: there is not enough memory for it. Make it smaller first.") from error
    except Exception as error:
        if is_lost(error):
            said = str(error).partition("\n")[0]
            advice = "Only another process can use it again."
            raise DeviceLostError(f"{path}: the device has failed ({said}). {advice}") from error
        place = traceback.extract_tb(error.__traceback__)[-1]
        fault = f"{type(error).__name__}: {error}; {Path(place.filename).name}, line {place.lineno}"
        raise ImageError(f"{path}: this program has a fault ({fault}). Please report it.") from error

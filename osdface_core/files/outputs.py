"""What is written: never over a file that is there, unless asked to; and whatever goes wrong with a file, named."""

import json
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


def write_json(path: Path, content: Json | list[Json]) -> None:
    write_whole(path, (json.dumps(content, indent=1) + "\n").encode())


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
        if is_lost(error):
            said = str(error).partition("\n")[0]
            advice = "Only another process can use it again: run the same command again."
            raise DeviceLostError(f"{path}: the device has failed ({said}). {advice}") from error
        place = traceback.extract_tb(error.__traceback__)[-1]
        fault = f"{type(error).__name__}: {error}; {Path(place.filename).name}, line {place.lineno}"
        raise ImageError(f"{path}: this program has a fault ({fault}). Please report it.") from error

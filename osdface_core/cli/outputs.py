"""What commands write: never over a file that is there, unless asked to."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path, PureWindowsPath

from ..atomic_write import atomic_write
from ..errors import ImageError
from ..serialization import Json
from .names import refused_by_windows


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

"""Names of files, on every system alike: which cannot be written, which are meant, how they are shown."""

import re
import unicodedata
from collections.abc import Iterable
from glob import glob
from pathlib import Path, PurePath, PureWindowsPath

from ..errors import ImageError

FORBIDDEN = re.compile(r'[<>:"|?*\x00-\x1f]')
DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\.|$)", re.IGNORECASE)


def refused_by_windows(path: PureWindowsPath) -> str:
    """Why Windows does not write under this name, or writes elsewhere without a word; empty where it does write."""
    for name in path.parts[bool(path.anchor) :]:
        if found := FORBIDDEN.search(name):
            return f"Windows allows no {found[0]!r} in a name"
        if name.strip(". ") and name != name.rstrip(". "):
            return "Windows drops a dot or space at a name's end"
        if DEVICES.match(name):
            return f"{name.split('.')[0]} is a device on Windows"
    return ""


def is_apple_double(path: PurePath) -> bool:
    """Whether this is what macOS keeps about a file of the same name on other systems' disks, and not that file."""
    return path.name.startswith("._")


def expand(paths: Iterable[Path], *, recursive: bool = False) -> list[Path]:
    """The paths, and in place of a pattern such as *.jpg what it fits: Windows' shells leave that to the command.

    recursive: ** in a pattern fits any number of folders.

    Raises ImageError where nothing fits.
    """
    found: list[Path] = []
    for path in paths:
        if not set(str(path)) & set("*?") or path.exists():
            found.append(path)
            continue
        fitting = sorted(map(Path, glob(str(path).replace("[", "[[]"), recursive=recursive)))
        if not fitting:
            raise ImageError(f"{path}: no file fits this pattern. Check the path.")
        found += fitting
    return found


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

"""How the `osdface` command is called on this machine, for advice that can be typed as it stands."""

import os
import shutil
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

DOOR = Path(__file__).parents[1] / "osdface.py"
"""What a Python runs that has not installed the pack, such as that of ComfyUI's portable version."""


def command() -> str:
    """`osdface` where the shell finds that. Otherwise what to type in its place: what this process was started with, if
    it is the command; else the installed script, or the pack's own with the Python that is running.
    """
    started = Path(sys.argv[0] if sys.argv else "")
    if started.name == DOOR.name or started.parts[-2:] == ("cli", "__main__.py"):
        return line(sys.orig_argv[: len(sys.orig_argv) - len(sys.argv) + 1])
    script = shutil.which("osdface", path=sysconfig.get_path("scripts"))
    if script is None:
        return line([python(), str(DOOR)] if DOOR.is_file() else [python(), "-m", "osdface_core.cli"])
    found = shutil.which("osdface")
    return "osdface" if found is not None and os.path.samefile(found, script) else line([script])


def pip_install(*packages: str) -> str:
    """The command that adds packages to the Python that is running."""
    return line([python(), "-m", "pip", "install", *packages])


def python() -> str:
    return sys.executable or "python"


def line(words: Iterable[str]) -> str:
    """Words as every shell takes them: in double quotes where there is a space, which cmd understands too."""
    return " ".join(f'"{word}"' if set(word) & set(" ()&<>|") else word for word in words)

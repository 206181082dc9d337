"""Symbolic links where the system has them, copies elsewhere: Windows gives them to administrators alone."""

import shutil
from pathlib import Path

LEFT_OUT = shutil.ignore_patterns(".venv", ".git", "demo", "__pycache__")


def link(path: Path, target: Path) -> None:
    """Have what is at `target` also at `path`."""
    try:
        path.symlink_to(target, target_is_directory=target.is_dir())
    except (OSError, NotImplementedError):
        if target.is_dir():
            shutil.copytree(target, path, ignore=LEFT_OUT)
        else:
            shutil.copy(target, path)

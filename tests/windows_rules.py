"""Windows' rules for files that are in use, on Linux: what this process has open or mapped is not removed or replaced.

On Windows itself nothing is needed to have them.
"""

import errno
import os
from collections import Counter
from collections.abc import MutableMapping
from pathlib import Path

import pytest


class WindowsRules:
    """Refuses as Windows does. `busy` counts how often more a path is refused because another program has it open."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.busy: MutableMapping[str, int] = Counter()
        self.refused: list[str] = []
        replace, unlink, rename = os.replace, os.unlink, os.rename
        for name, function in (("replace", replace), ("rename", rename)):
            monkeypatch.setattr(os, name, lambda source, target, move=function: self.move(move, source, target))
        for name in ("unlink", "remove"):
            monkeypatch.setattr(os, name, lambda path, **how: self.remove(unlink, path, **how))
        monkeypatch.setattr(Path, "unlink", path_unlink)  # which holds on to os.unlink in Python 3.10

    def move(self, move, source, target):
        self.check(source)
        self.check(target)
        move(source, target)

    def remove(self, unlink, path, **how):
        self.check(path)
        unlink(path, **how)

    def check(self, path: str | os.PathLike[str]) -> None:
        name = os.path.abspath(os.fspath(path))
        if not os.path.lexists(name):
            return
        if self.busy[name] > 0 or in_use(name):
            self.busy[name] -= self.busy[name] > 0
            self.refused.append(name)
            raise PermissionError(errno.EACCES, "The process cannot access the file because it is in use", name)


def path_unlink(path: Path, missing_ok: bool = False) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        if not missing_ok:
            raise


def in_use(name: str) -> bool:
    """Whether this process has the file open or mapped."""
    name = os.path.realpath(name)
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{descriptor}") == name:
                return True
        except FileNotFoundError:  # that of the listing itself
            continue
    return name in mapped_files()


def mapped_files() -> set[str]:
    """The files that are mapped into this process's memory."""
    lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    return {line.split(maxsplit=5)[5] for line in lines if len(line.split(maxsplit=5)) == 6}

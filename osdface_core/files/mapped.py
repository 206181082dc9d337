"""Files that are mapped into memory: what changes in one changes what was read from it."""

from dataclasses import dataclass
from pathlib import Path

from ..errors import UnreadableFileError


@dataclass(frozen=True)
class MappedFile:
    """A file as it was when it was mapped. A new file under its name, or none, leaves what is mapped as it was."""

    path: Path
    inode: int
    size: int
    time: int

    @classmethod
    def of(cls, path: Path) -> "MappedFile":
        status = path.stat()
        return cls(path, status.st_ino, status.st_size, status.st_mtime_ns)

    def check(self) -> None:
        """Raises UnreadableFileError where the file was changed in its place: read on, it would give other numbers, or,
        cut short, end the process.
        """
        try:
            now = MappedFile.of(self.path)
        except OSError:
            return
        if now.inode == self.inode and now != self:
            advice = "Load it again. Whatever writes it should write a new file, and rename that."
            raise UnreadableFileError(self.path, "it has changed since it was loaded.", advice)

"""A lock that one process at a time holds, and that the system takes back from a process that dies."""

import errno
import os
import sys
import time
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

NO_LINKS = getattr(os, "O_NOFOLLOW", 0)
"""Flag of `os.open`: refuse to open what a symbolic link points to."""

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, getattr(errno, "ENOTSUP", errno.EOPNOTSUPP))
"""What a file system answers that knows no locks, as Lustre does on many clusters."""


class FileLock:
    """A lock by the name of `path`, a file that is there only while somebody holds or awaits the lock."""

    def __init__(self, path: Path):
        self.path, self.descriptor = path, -1

    def acquire(self) -> bool:
        """Try once to take the lock; False where somebody has it. Raises OSError, with one of NO_LOCKS as its errno
        where the file system knows no locks.
        """
        try:
            descriptor = open_or_make(self.path)
        except OSError as error:
            if error.errno == errno.ELOOP:  # a symbolic link: a stranger's, nothing to touch
                return False
            raise
        try:
            lock(descriptor)
            if os.path.samestat(os.fstat(descriptor), os.lstat(self.path)):  # else its last holder has removed it
                self.descriptor, descriptor = descriptor, -1
                return True
        except (BlockingIOError, PermissionError, FileNotFoundError):  # Windows calls a lock that is held a permission
            pass
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        return False

    def release(self) -> None:
        """Give the lock back and remove its file: while the lock is held, so that nobody takes it in between. Windows
        refuses that, so there it is removed afterwards, and Windows refuses that too where somebody has it by then.
        """
        gone = discard(self.path)
        if self.descriptor >= 0:
            unlock(self.descriptor)
            os.close(self.descriptor)
            self.descriptor = -1
        if not gone:
            discard(self.path)


def open_or_make(path: Path) -> int:
    """The lock's file. Windows refuses it in the moment in which another process removes it: it is tried again then.
    Another user's may be there to be read only, which is enough.
    """
    for _ in range(10 if sys.platform == "win32" else 0):
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except PermissionError:
            time.sleep(0.05)
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | NO_LINKS, 0o666)
    except PermissionError:
        if not path.exists():
            raise
        return os.open(path, os.O_RDONLY | NO_LINKS)


def discard(path: Path) -> bool:
    """Remove a file, if the system lets us: what cannot be removed must not hide the error that made it useless."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return False
    return True


if sys.platform == "win32":

    def lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def unlock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:

    def lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)

"""A bound on the bytes that photos under way take together."""

from threading import Condition


class Budget:
    """Bytes that are lent and given back by several threads. One who asks for more than there are gets all, alone."""

    def __init__(self, size: int):
        self.size, self.lent, self.waiting, self.closed = size, 0, 0, False
        self.changed = Condition()

    def borrow(self, count: int) -> bool:
        """Wait until there are so many bytes. False where the budget was closed meanwhile."""
        with self.changed:
            self.waiting += 1
            try:
                self.changed.wait_for(lambda: self.closed or not self.lent or self.lent + count <= self.size)
            finally:
                self.waiting -= 1
            if self.closed:
                return False
            self.lent += count
            return True

    def take(self, count: int) -> None:
        """Have so many bytes at once, even beyond the bound: they are needed for what was begun already."""
        with self.changed:
            self.lent += count

    def give_back(self, count: int) -> None:
        with self.changed:
            self.lent -= count
            self.changed.notify_all()

    def close(self) -> None:
        """Lend nothing more: who waits is told so."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()

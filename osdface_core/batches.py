"""Work through many faces a few at a time, in halves where a device runs out of memory."""

from collections import deque
from collections.abc import Callable
from typing import TypeVar

import torch

from .devices import is_out_of_memory
from .errors import OptionError

Result = TypeVar("Result")

OnBatch = Callable[[int, int], None]
"""Called with (faces done, faces in all) after every batch. What it raises ends the work: that is how to interrupt."""


def in_batches(count: int, size: int, work: Callable[[slice], Result], on_batch: OnBatch | None = None) -> list[Result]:
    """The results of `work` on slices of at most `size` that cover `count`.

    Where the device runs out of memory, the same slice is tried again in halves, down to one face.
    """
    results: list[Result] = []

    def keep(part: slice, result: Result) -> bool:
        results.append(result)
        return True

    in_passes(count, size, work, keep, on_batch, ahead=0)
    return results


def in_passes(
    count: int,
    size: int,
    begin: Callable[[slice], Result],
    finish: Callable[[slice, Result], bool],
    on_batch: OnBatch | None = None,
    *,
    ahead: int = 1,
) -> None:
    """Begin a pass over each slice of at most `size` of `count`, and finish each while the next is under way.

    begin: queues the work and does not wait for it.
    finish: waits for it and takes its result; False where the pass is void, and is to be made again.
    ahead: how many passes are begun before one is finished.
    Where the device runs out of memory, in either of them, what is under way is finished first; then the same slice is
    tried again in halves, down to one face. Raises OptionError where `size` is no number of faces.
    """
    if count and (not isinstance(size, int) or size < 1):
        raise OptionError("batch_size", size, "it must be a whole number of 1 or more")
    todo, under_way = deque([(0, count)] if count else []), deque[tuple[slice, Result]]()
    done = 0

    def begin_one() -> None:
        start, stop = todo.popleft()
        part = slice(start, min(start + size, stop))
        if part.stop < stop:
            todo.appendleft((part.stop, stop))

        def work() -> bool:
            under_way.append((part, begin(part)))
            return True

        attempt(part, work)

    def finish_one() -> None:
        nonlocal done
        part, begun = under_way.popleft()
        if attempt(part, lambda: finish(part, begun)):
            done += part.stop - part.start
            if on_batch is not None:
                on_batch(done, count)

    def attempt(part: slice, work: Callable[[], bool]) -> bool:
        """Whether the work on a slice is good. Where it is not, the slice is put back, to be done again."""
        nonlocal size
        try:
            good, too_much = work(), False
        except Exception as error:
            if not is_out_of_memory(error) or (part.stop - part.start == 1 and not under_way):
                raise
            good, too_much = False, True
        if too_much:  # out of the handler, which holds the failed pass's tensors
            while under_way:
                finish_one()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            size = max(1, min(size, (part.stop - part.start + 1) // 2))
        if not good:
            follows = bool(todo) and todo[0][0] == part.stop
            todo.appendleft((part.start, todo.popleft()[1] if follows else part.stop))
        return good

    while todo or under_way:
        if todo:
            begin_one()
        while len(under_way) > (ahead if todo else 0):
            finish_one()

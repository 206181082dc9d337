"""Work through many faces a few at a time."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")

OnBatch = Callable[[int, int], None]
"""Called with (faces done, faces in all) after every batch. What it raises ends the work: that is how to interrupt."""


def in_batches(count: int, size: int, work: Callable[[slice], Result], on_batch: OnBatch | None = None) -> list[Result]:
    """The results of `work` on slices of at most `size` that cover `count`.

    Where the device runs out of memory, the same slice is tried again in halves, down to one face.
    """
    results: list[Result] = []
    start = 0
    while start < count:
        end = min(start + size, count)
        try:
            results.append(work(slice(start, end)))
        except torch.OutOfMemoryError:
            if end - start == 1:
                raise
            size = (end - start + 1) // 2
            continue
        start = end
        if on_batch is not None:
            on_batch(end, count)
    return results


def upload(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on `device`. From memory that is pinned the copy waits its turn on a GPU, and the host goes on."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)

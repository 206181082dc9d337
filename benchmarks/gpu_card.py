"""A GPU as benchmarks/gpu.py measures with it: its clock, its memory, its name."""

import os
import subprocess
import time
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import torch

Figures = dict[str, Any]
WARM_UPS, ROUNDS = 3, 20
PART_SECONDS = 8 * 60
"""No part begins anything new after so long."""


class Card:
    """The first CUDA device."""

    def __init__(self) -> None:
        self.name = f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}"

    def now(self) -> float:
        """Seconds, on the host."""
        return time.perf_counter()

    def wait(self) -> None:
        torch.cuda.synchronize()

    def mark(self) -> torch.cuda.Event:
        """A moment in the device's own work."""
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def between(self, start: torch.cuda.Event, end: torch.cuda.Event) -> float:
        """Seconds from one moment to another, once the device has been waited for."""
        return start.elapsed_time(end) / 1000

    def reset_peaks(self) -> None:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()

    def memory(self) -> Figures:
        """GB: the most that tensors took and that PyTorch kept since the reset; what the driver says now."""
        return {
            "allocated": torch.cuda.max_memory_allocated() / 1e9,
            "reserved": torch.cuda.max_memory_reserved() / 1e9,
            "nvidia-smi": driver_bytes() / 1e9,
        }


def driver_bytes() -> float:
    """What nvidia-smi says that this process holds; NaN where it does not say, as in a container."""
    query = ["nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return float("nan")
    rows = [line.split(",") for line in told.splitlines() if line.strip()]
    own = [size for pid, size in rows if int(pid) == os.getpid()] or [size for _, size in rows if len(rows) == 1]
    return float(own[0]) * 2**20 if own and own[0].strip().isdigit() else float("nan")


def by_events(card: Any, work: Callable[[], Any], rounds: int = ROUNDS) -> list[float]:
    """Seconds of each of `rounds` runs by the device's own clock, after three that do not count."""
    for _ in range(WARM_UPS):
        work()
    card.wait()
    marks = [card.mark()]
    for _ in range(rounds):
        work()
        marks.append(card.mark())
    card.wait()
    return [card.between(start, end) for start, end in pairwise(marks)]


def by_wall(card: Any, work: Callable[[], Any], rounds: int = ROUNDS) -> float:
    """Seconds of a run by the host's clock, waited for at the end of all `rounds`, after three that do not count."""
    for _ in range(WARM_UPS):
        work()
    card.wait()
    started = card.now()
    for _ in range(rounds):
        work()
    card.wait()
    return (card.now() - started) / rounds


def each(card: Any, tasks: Iterable[tuple[str, Callable[[], Any]]], seconds: float = PART_SECONDS) -> Figures:
    """What each task found, by name. One that there is no time left for is skipped; a failure is told, and no more."""
    started, found = card.now(), {}
    for name, task in tasks:
        if card.now() - started > seconds:
            found[name] = "skipped: no time left"
            continue
        try:
            found[name] = task()
        except (RuntimeError, ImportError) as error:
            found[name] = f"failed: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return found

"""A photo on its way through an album's steps: what is to be done, and what is known of it so far."""

from collections import defaultdict, deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import OSDFaceError
from ..files.photos import Photo
from ..serialization import Json
from .journal import Entry

GROUP = 8, 16_000_000
"""Photos of one size that are looked at together for faces, and their pixels, at most."""


@dataclass(frozen=True)
class Job:
    """A photo to restore, and where to."""

    input: Path
    output: Path
    name: str
    """The output's path in the output folder, with slashes: what a journal knows it by."""
    overwrite: bool = False


@dataclass(eq=False)
class UnderWay:
    """A photo on its way through the steps."""

    job: Job
    source: str = ""
    photo: Photo | None = None
    lent: int = 0
    """Bytes of the budget that it has."""
    cut: Any = ()
    begun: int = 0
    """How many of its faces are restored, or being so."""
    being_restored: int = 0
    """In how many batches just now."""
    restored: dict[int, Any] = field(default_factory=dict)
    """What came of its faces, by the number of the first of each part."""
    made: Json = field(default_factory=dict)
    content: bytes = b""
    """The report and the file that came of it."""
    error: OSDFaceError | None = None
    entry: Entry | None = None
    """What became of it."""
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))


Parts = Sequence[tuple[UnderWay, range]]
"""Some photos, and which of their faces."""


def taken(waiting: deque[UnderWay], count: int) -> Parts:
    """The first so many faces of those that wait; photos all of whose faces are taken wait no longer."""
    parts: list[tuple[UnderWay, range]] = []
    while waiting and count:
        item = waiting[0]
        numbers = range(item.begun, min(item.begun + count, len(item.cut)))
        if item.error is None:
            parts.append((item, numbers))
            item.begun, count = numbers.stop, count - len(numbers)
            item.being_restored += 1
        if item.error is not None or item.begun == len(item.cut):
            waiting.popleft()
    return parts


def left(waiting: Collection[UnderWay]) -> int:
    """How many faces wait to be restored, of photos of which none has failed."""
    return sum(len(item.cut) - item.begun for item in waiting if item.error is None)


def fits(group: Sequence[UnderWay], item: UnderWay) -> bool:
    """Whether a photo can be looked at for faces together with others."""
    first, pixels = photo_of(group[0]).pixels, photo_of(item).pixels
    most, area = GROUP
    return first.shape == pixels.shape and len(group) < most and (len(group) + 1) * pixels[0, 0].numel() <= area


def photo_of(item: UnderWay) -> Photo:
    assert item.photo is not None  # it was read
    return item.photo

"""What became of an album, summed up from its journal: as text, as a table, and as a page to look at."""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import nlargest
from pathlib import Path

from torch import Tensor

from ..errors import ImageError, OSDFaceError
from ..files.names import printable
from ..files.page import Pair, Table, page, thumbnail
from ..files.photos import read_photo
from ..files.places import local, place
from .journal import DONE, FAILED, Entry, entries
from .plan import hashed
from .work import ALIGNED

SLOWEST, SIDE = 10, 480
"""How many of the slowest photos are named, and the longest side of a picture on a page, in pixels."""
MOST_ROWS = 1000
"""Of a table on a page."""


@dataclass
class Summary:
    """An album, in figures."""

    states: Counter[str] = field(default_factory=Counter)
    faces: int = 0
    restored: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    """Why faces were not restored."""
    seconds: Counter[str] = field(default_factory=Counter)
    """By step, of all photos together."""
    slowest: list[Entry] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    """Inputs and their errors."""
    to_show: int = 0
    """How many photos there are to show before and after."""


def last_entries(output: Path) -> Iterator[Entry]:
    """The entry that holds, for every photo of the journal in an output folder: the last one. What failed before it was
    begun, such as a photo that an earlier run has done, is as it was."""
    last: dict[int, int] = {}
    done: set[int] = set()
    for number, entry in enumerate(entries(output)):
        key = hashed(entry.output)
        if entry.state != FAILED or key not in done:
            last[key] = number
        if entry.state == DONE:
            done.add(key)
        elif entry.state != FAILED:
            done.discard(key)
    for number, entry in enumerate(entries(output)):
        if last.get(hashed(entry.output)) == number:
            yield entry


def sum_up(output: Path) -> Summary:
    """All parts of the journal in an output folder, together. Raises ImageError where there is none."""
    summary = Summary()
    for entry in last_entries(output):
        summary.states[entry.state] += 1
        summary.faces += len(entry.faces)
        summary.restored += sum(face["restored"] for face in entry.faces)
        summary.reasons.update(reason_of(face["reason"]) for face in entry.faces if not face["restored"])
        summary.seconds.update(entry.seconds or {})
        summary.to_show += has_restored(entry)
        if entry.state == DONE:
            summary.slowest = nlargest(SLOWEST, (*summary.slowest, entry), key=duration)
        elif entry.state == FAILED:
            summary.failures.append((entry.input, entry.error.removeprefix(f"{entry.input}: ")))
    if not summary.states:
        raise ImageError(f"{output}: no journal is in this folder. Name the one that photos were restored into.")
    return summary


def reason_of(said: str) -> str:
    """A reason without the figures of one face, so that equal ones are counted together."""
    return " ".join("…" if any(map(str.isdigit, word)) else word for word in said.split())


def duration(entry: Entry) -> float:
    return sum((entry.seconds or {}).values())


def figures(summary: Summary) -> dict[str, object]:
    """What is to be known first."""
    unfinished = summary.states.total() - summary.states[DONE] - summary.states[FAILED]
    return {
        "photos": summary.states.total(),
        "done": summary.states[DONE],
        "failed": summary.states[FAILED],
        **({"not finished": unfinished} if unfinished else {}),
        "faces": summary.faces,
        "faces restored": summary.restored,
    }


def tables(summary: Summary) -> list[Table]:
    """What is to be known then."""
    spent = [(step, seconds) for step, seconds in summary.seconds.most_common()]
    slow = [(entry.input, duration(entry), len(entry.faces), size_of(entry)) for entry in summary.slowest]
    return [
        Table("Failures", ("photo", "error"), summary.failures),
        Table("Faces left as they were", ("reason", "faces"), summary.reasons.most_common()),
        Table("Seconds by step", ("step", "seconds"), spent, "Of all photos together; steps run beside each other."),
        Table("The slowest photos", ("photo", "seconds", "faces", "size"), slow),
    ]


def size_of(entry: Entry) -> str:
    return f"{entry.width}x{entry.height}" if entry.width else ""


def as_text(summary: Summary) -> str:
    """For a terminal."""
    lines = [f"{name}: {value}" for name, value in figures(summary).items()]
    for table in tables(summary):
        if table.rows:
            lines += ["", table.name]
            lines += ["  " + "  ".join(map(shown, row)) for row in table.rows]
    return "\n".join(map(printable, lines)) + "\n"


def shown(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


COLUMNS = ("input", "output", "state", "faces", "restored", "least identity", "seconds", "width", "height", "error")


def as_csv(output: Path) -> Iterator[str]:
    """A line for every photo, under COLUMNS."""
    yield csv_line(COLUMNS)
    for entry in last_entries(output):
        identity = [face["identity"] for face in entry.faces if face["identity"] is not None]
        yield csv_line(
            (
                *(entry.input, entry.output, entry.state, len(entry.faces)),
                sum(face["restored"] for face in entry.faces),
                min(identity, default=""),
                round(duration(entry), 3),
                *(entry.width or "", entry.height or "", entry.error),
            )
        )


def csv_line(values: tuple[object, ...]) -> str:
    """Values as a line of CSV. A text that a spreadsheet would take for a formula gets an apostrophe before it."""
    line = io.StringIO()
    texts = (f"'{it}" if isinstance(it, str) and it[:1] in ("=", "+", "-", "@", "\t", "\r") else it for it in values)
    csv.writer(line, lineterminator="\n").writerow(texts)
    return line.getvalue()


def as_page(output: Path, summary: Summary, most: int) -> Iterator[str]:
    """A page that shows up to `most` of the photos before and after, evenly chosen of those with a restored face."""
    of_album = [
        Table(it.name, it.columns, it.rows[:MOST_ROWS], it.note or left_off(len(it.rows))) for it in tables(summary)
    ]
    yield from page(
        f"Restored: {output.resolve().name}", figures(summary), of_album, pairs(output, summary.to_show, most)
    )


def left_off(count: int) -> str:
    return f"{count - MOST_ROWS} more are in the CSV file." if count > MOST_ROWS else ""


def pairs(output: Path, count: int, most: int) -> Iterator[Pair]:
    """Up to `most` of `count` photos before and after; those that are not there any more are left out."""
    if not most:
        return
    step, taken = max(count / most, 1), 0
    for number, entry in enumerate(filter(has_restored, last_entries(output))):
        if number >= taken * step and taken < most:
            taken += 1
            try:
                before, after = map(pixels_of, (place(entry.input), output / entry.output))
            except (OSDFaceError, OSError):
                continue
            scale = min(SIDE / max(after.shape[2:]), 1)
            size = (max(round(after.shape[2] * scale), 1), max(round(after.shape[3] * scale), 1))
            yield Pair(entry.output, thumbnail(before, size), thumbnail(after, size), entry.summary)


def pixels_of(path: Path) -> Tensor:
    with local(path) as file:
        return read_photo(file).pixels


def has_restored(entry: Entry) -> bool:
    restored = entry.summary == ALIGNED or any(face["restored"] for face in entry.faces)
    return entry.state == DONE and restored

"""An evaluation's figures as tables: means, paired differences, and the paper's rows beside them."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..serialization import Json
from .statistics import Difference, difference

INPUT = "input"
"""What the degraded photos themselves are called as a method."""
DENOISED = "denoised"
"""What a plain denoiser is called as a method."""
SECONDS = "s a face"
"""The figure that is no quality."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What every method made of every photo."""

    rows: list[Json]
    """{"group", "photo", "method", "figures"}, in order of photos."""
    groups: tuple[str, ...]
    methods: Sequence[str]
    distances: Mapping[tuple[str, str, str], float] = field(default_factory=dict)
    """Figures of all photos together: by name, group and method."""

    @property
    def names(self) -> list[str]:
        """Of the figures of single photos, in the order in which they were measured."""
        return list(dict.fromkeys(name for row in self.rows for name in row["figures"]))

    def values(self, group: str, method: str, name: str) -> np.ndarray:
        """A figure of every photo, NaN where there is none."""
        own = (row["figures"] for row in self.rows if (row["group"], row["method"]) == (group, method))
        return np.array([np.nan if figures.get(name) is None else figures[name] for figures in own], float)

    def mean(self, group: str, method: str, name: str) -> float:
        """A figure's mean, without the photos that have none."""
        values = self.values(group, method, name)
        return float(np.nanmean(values)) if np.isfinite(values).any() else np.nan

    def difference(self, group: str, method: str, reference: str, name: str) -> Difference:
        """How much better or worse than another method, on the same photos."""
        return difference(self.values(group, method, name), self.values(group, reference, name))

    def means(self) -> list[Json]:
        """A row for each group and method."""
        rows = []
        for group in self.groups:
            for method in self.methods:
                row: Json = ({"degradation": group} if len(self.groups) > 1 else {}) | {"method": method}
                row |= {name: self.mean(group, method, name) for name in self.names}
                row |= {name: value for (name, *of), value in self.distances.items() if of == [group, method]}
                rows.append(row)
        return rows

    def differences(self, references: Sequence[str]) -> list[Json]:
        """A row for each group, method and reference before it, with an interval for every figure."""
        return [
            ({"degradation": group} if len(self.groups) > 1 else {})
            | {"method": method, "minus": reference}
            | {name: self.difference(group, method, reference, name) for name in self.names if name != SECONDS}
            for group in self.groups
            for reference in references
            for method in self.methods[self.methods.index(reference) + 1 :]
        ]


def columns_of(rows: Sequence[Json]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def markdown(rows: Sequence[Json]) -> str:
    """A table. Differences whose interval leaves out 0 are bold."""
    names = columns_of(rows)
    lines = [names, ["---"] * len(names), *([shown(row.get(name)) for name in names] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def shown(value: object) -> str:
    """A value for people to read."""
    if isinstance(value, Difference):
        if value.low == value.high == 0:
            return "0"
        text = f"{value.mean:+.3g} ({value.low:+.3g} … {value.high:+.3g})"
        return "–" if np.isnan(value.mean) else f"**{text}**" if value.is_clear else text
    if isinstance(value, float):
        return "–" if np.isnan(value) else f"{value:.4g}"
    return "–" if value is None else str(value).replace("|", "\\|")


def plain(rows: Sequence[Json]) -> list[Json]:
    """The same for programs: numbers, null for none, and a difference as mean, low and high."""
    return [{name: plain_value(value) for name, value in row.items()} for row in rows]


def plain_value(value: object) -> object:
    if isinstance(value, Difference):
        return {part: plain_value(number) for part, number in value._asdict().items()}
    return None if isinstance(value, float) and not np.isfinite(value) else value


def as_csv(rows: Sequence[Json]) -> str:
    """A table with a column for every number: a difference has three."""
    flat = [
        {
            f"{name} {part}".rstrip(): number
            for name, value in row.items()
            for part, number in (value._asdict().items() if isinstance(value, Difference) else {"": value}.items())
        }
        for row in rows
    ]
    file = io.StringIO()
    writer = csv.DictWriter(file, columns_of(flat), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return file.getvalue()

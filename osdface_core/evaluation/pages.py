"""An evaluation as a page: its tables, and the input and the model's result under a slider. One file."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..files.atomic_write import atomic_write
from ..files.page import Pair, Table, page, thumbnail
from ..files.photos import read_photo
from ..serialization import Json
from .evaluate import Task, result_file
from .report import DIFFERENCES, model_of, rows_of, sources
from .sheets import ranked
from .tables import INPUT, Evaluation, columns_of, shown

EACH = 4
"""Photos of every group that the model made most of, and as many that it made least of."""
SIDE = 384
"""Of a picture, pixels at most."""


def write_page(
    task: Task, result: Evaluation, output: Path, *, paper: str | None = None, missing: Sequence[str] = ()
) -> None:
    """page.html. paper, missing: as for `write_tables`."""
    (rows, gaps), model = rows_of(result, paper), model_of(result)
    tables = [
        table("Means", rows),
        table(DIFFERENCES, gaps),
        Table("Measures", ("figure", "what it is"), sources(task, paper, missing)),
    ]
    figures: dict[str, object] = {
        "photos": len(task.photos),
        "pixels a side": task.size,
        "methods": len(result.methods),
    }
    with atomic_write(output / "page.html") as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(page(f"Evaluation: {model}", figures, tables, pairs(task, result, output, model)))


def table(name: str, rows: Sequence[Json]) -> Table:
    columns = columns_of(rows)
    return Table(name, columns, [[shown(row.get(column)) for column in columns] for row in rows])


def pairs(task: Task, result: Evaluation, output: Path, model: str) -> Iterator[Pair]:
    """The input and the model's result of the photos that it made most and least of."""
    side = min(task.size, SIDE)
    for group in task.photos.groups:
        order, figure = ranked(result, group, model)
        for photo in dict.fromkeys([*order[:EACH], *order[-EACH:]]):
            before, after = (
                thumbnail(read_photo(result_file(output, method, group, photo)).pixels, (side, side))
                for method in (INPUT, model)
            )
            values = [value_of(result, group, method, photo, figure) for method in (INPUT, model)]
            says = f"{figure} {' → '.join(map(shown, values))}"
            yield Pair(f"{group}: {photo}" if group else photo, before, after, says)


def value_of(result: Evaluation, group: str, method: str, photo: str, figure: str) -> object:
    key = (group, method, photo)
    return next(row["figures"].get(figure) for row in result.rows if (row["group"], row["method"], row["photo"]) == key)

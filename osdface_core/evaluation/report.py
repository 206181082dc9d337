"""What an evaluation leaves: tables to read and to compute with, a page, and sheets of pictures."""

import json
from collections.abc import Sequence
from pathlib import Path

from ..files.atomic_write import atomic_write
from ..serialization import Json
from .evaluate import Task
from .paper import MARK, paper_rows
from .sheets import ranked, write_sheet
from .tables import DENOISED, INPUT, Evaluation, as_csv, markdown, plain

DIFFERENCES = "Differences on the same photos, with 95 % of 2000 paired bootstraps; bold where these leave out 0"
SHOWN = 8
"""Photos of a sheet."""


def write_tables(
    task: Task, result: Evaluation, output: Path, *, paper: str | None = None, missing: Sequence[str] = ()
) -> None:
    """table.md for people, table.json and table.csv for programs.

    paper: the set of the paper whose rows are put beside. missing: sentences of measures that could not be taken.
    """
    rows, gaps = rows_of(result, paper)
    parts = [
        f"{len(task.photos)} photo(s), {task.size} px.",
        markdown(rows),
        f"{DIFFERENCES}.",
        markdown(gaps),
        "\n".join(f"- {name}: {source}" for name, source in sources(task, paper, missing)),
    ]
    files = {
        "table.md": "\n\n".join(part.rstrip("\n") for part in parts) + "\n",
        "table.json": as_json({"means": plain(rows), "differences": plain(gaps)}),
        "table.csv": as_csv(rows),
        "differences.csv": as_csv(gaps),
    }
    write_texts(output, files)


def sources(task: Task, paper: str | None, missing: Sequence[str]) -> list[tuple[str, str]]:
    """What stands in the tables and what does not, each with what it is, or why it is not there."""
    found = [(", ".join(measure.names), measure.source) for measure in task.measures]
    found += [(distance.name, "Fréchet distance of InceptionV3's features.") for distance in task.frechet]
    if paper is not None:
        found.append((f"rows marked {MARK}", f"The figures of arXiv 2411.17163 for {paper}, not measured here."))
    split = (each.partition(": ") for each in missing)
    return found + [(name, sentence) for name, _, sentence in split]


def rows_of(result: Evaluation, paper: str | None) -> tuple[list[Json], list[Json]]:
    """Means, with the paper's beside them, and differences to the input and, where there are others, to the model."""
    rows, model = result.means(), model_of(result)
    if paper is not None:
        rows += paper_rows(paper)
    return rows, result.differences([INPUT] if model == result.methods[-1] else [INPUT, model])


def write_texts(output: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        with atomic_write(output / name) as partial:
            partial.write_text(text, encoding="utf-8", newline="\n")


def model_of(result: Evaluation) -> str:
    """The first model's own result: what pictures show and others are compared with."""
    return next(method for method in result.methods if method not in (INPUT, DENOISED))


def as_json(content: Json | list[Json]) -> str:
    return json.dumps(content, indent=1) + "\n"


def write_sheets(task: Task, result: Evaluation, output: Path) -> None:
    """For every group: the first photos, and those that the first model made most and least of."""
    model = model_of(result)
    for group in task.photos.groups:
        name = group or "photos"
        order, _ = ranked(result, group, model)
        write_sheet(output / f"{name}.png", task, output, group, task.photos.names[:SHOWN])
        if len(order) > SHOWN:
            write_sheet(output / f"{name}_best.png", task, output, group, order[:SHOWN])
            write_sheet(output / f"{name}_worst.png", task, output, group, order[::-1][:SHOWN])

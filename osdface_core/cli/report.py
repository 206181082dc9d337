"""`osdface report`: what became of an album, from the journal in its output folder."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from ..album.report import as_csv, as_page, as_text, sum_up
from ..files.atomic_write import atomic_write
from ..files.outputs import refuse_to_overwrite
from ..files.places import place
from ..options import Report
from .arguments import Commands, add_options, validate


def add_to(commands: Commands) -> None:
    report = commands.add_parser("report", help="sum up what became of an album")
    report.set_defaults(run=run, refuse=report.error)
    report.add_argument("output", type=place, metavar="OUT", help="the folder that photos were restored into")
    report.add_argument("--csv", type=Path, metavar="FILE", help="write a table with a line for every photo")
    report.add_argument("--html", type=Path, metavar="FILE", help="write a page with photos before and after")
    add_options(report, Report)
    report.add_argument("--force", action="store_true", help="overwrite files that exist")


def run(options: argparse.Namespace) -> int:
    validate(options, Report)
    refuse_to_overwrite([path for path in (options.csv, options.html) if path is not None], options.force)
    summary = sum_up(options.output)
    sys.stdout.write(as_text(summary))
    if options.csv is not None:
        write(options.csv, as_csv(options.output))
    if options.html is not None:
        write(options.html, as_page(options.output, summary, options.photos))
    return 0


def write(path: Path, lines: Iterable[str]) -> None:
    with (
        atomic_write(path) as partial,
        partial.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file,
    ):
        file.writelines(lines)

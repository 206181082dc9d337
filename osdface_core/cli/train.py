"""`osdface train`: a model from photographs, by a recipe."""

import argparse
import logging
from pathlib import Path

from ..options import Train
from .arguments import Commands, add_options, validate

log = logging.getLogger("osdface")


def add_to(commands: Commands) -> None:
    train = commands.add_parser("train", help="train a model as a recipe says")
    train.set_defaults(run=run_train, refuse=train.error)
    train.add_argument("recipe", type=Path, metavar="RECIPE", help="a YAML file, or the name of a built-in one")
    train.add_argument("-o", "--output", required=True, type=Path, metavar="RUN", help="folder of this run")
    train.add_argument("--stage", help="only this stage (default: all, in order; finished ones are skipped)")
    add_options(train, Train)
    train.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="what $NAME in the recipe stands for"
    )


def run_train(options: argparse.Namespace) -> int:
    from ..training.recipe import built_in
    from ..training.run import run

    validate(options, Train)
    if not all("=" in pair for pair in options.set):
        options.refuse("--set takes NAME=VALUE")
    replacements = dict(pair.split("=", 1) for pair in options.set)
    finished = run(
        built_in(options.recipe),
        options.output,
        stage=options.stage,
        minutes=options.minutes,
        replacements=replacements,
    )
    log.info("finished" if finished else "not finished yet: the same command goes on from here")
    return 0

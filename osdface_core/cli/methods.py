"""What `osdface eval` compares: the model, rivals, somebody's results, and where their results go."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..devices import best_device
from ..files.outputs import refuse_to_overwrite
from ..inference import load_model
from ..inference.spandrel import load_restorer
from ..models.diffusion import OneStepModel
from ..options import Evaluate, Load
from ..serialization import Json
from .arguments import add_files, add_options

if TYPE_CHECKING:
    from ..evaluation import Method


def add_methods(verb: argparse.ArgumentParser) -> None:
    """What is compared, and where it goes."""
    verb.add_argument("-o", "--output", required=True, type=Path, metavar="OUT", help="for tables and pictures")
    add_files(verb, "weights", nargs="+", default=[None])
    add_files(verb, "base")
    verb.add_argument(
        "--rival",
        action="append",
        default=[],
        metavar="[NAME=]FILE|FOLDER",
        help="compare with GFPGAN, RestoreFormer or CodeFormer: their weights; or with somebody's results: a folder "
        "with the photos' names (OUT/results/input has what they have to restore). May be given several times",
    )
    add_options(verb, Evaluate)
    add_options(verb, Load, "device", device=best_device())
    verb.add_argument("--force", action="store_true", help="begin anew where an evaluation exists")


def begin(options: argparse.Namespace) -> Path:
    """The table to be. Where there is one already, --force forgets what is in its folder."""
    table: Path = options.output / "table.md"
    refuse_to_overwrite([table], options.force)
    if options.force:
        (options.output / "photos.jsonl").unlink(missing_ok=True)
    return table


def methods_of(options: argparse.Namespace) -> tuple[dict[str, "Method | Path"], OneStepModel]:
    """What is compared, by name, and the first model."""
    from .. import evaluation as ev

    found: dict[str, Method | Path] = {ev.DENOISED: ev.Method(ev.denoised)}
    models = []

    def add(name: str, method: "Method | Path") -> None:
        if name in found:
            options.refuse(f"two methods are called {name}: rename a file, or name a rival as in --rival NAME={name}")
        found[name] = method

    for weights in options.weights:
        model = load_model(weights, options.base, device=options.device)
        models.append(model)
        name = "restored" if len(options.weights) < 2 else name_of(weights)
        add(name, ev.Method(ev.restorer(model), options.color))
        if options.steps > 1:
            add(f"{name}, {options.steps} steps", ev.Method(ev.restorer(model, steps=options.steps)))
    for rival in options.rival:
        name, _, place = rival.rpartition("=")
        restorer = None if Path(place).is_dir() else load_restorer(place, device=options.device)
        add(
            name or Path(place).stem,
            Path(place) if restorer is None else ev.Method(ev.restoration_of(restorer), options.color),
        )
    return found, models[0]


def workers_on(device: str) -> int:
    """How many photos are worked on side by side: threads of a CPU do more apart than together."""
    return torch.get_num_threads() if torch.device(device).type == "cpu" else 1


def about(options: argparse.Namespace) -> Json:
    """What an evaluation has to have in common with an unfinished one to go on from it."""
    not_told = {"run", "refuse", "force", "output", "device", "paper", "attention"}
    return {
        name: json.loads(json.dumps(value, default=str))
        for name, value in vars(options).items()
        if name not in not_told
    }


def name_of(weights: Path) -> str:
    """What a table calls a model: its file's name, or for the bundle that a stage leaves the stage's."""
    return weights.parent.name if weights.stem == "bundle" else weights.stem

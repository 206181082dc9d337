"""`osdface eval`: what restorers make of sets of photos, in figures and in pictures."""

import argparse
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tqdm import tqdm

from ..detection.load import load_detector
from ..devices import best_device
from ..inference import load_model
from ..inference.spandrel import load_restorer
from ..options import Degrade, Evaluate, Load
from ..recognition.embedders import load_embedder
from ..serialization import Json
from .arguments import add_files, add_options, validate
from .outputs import refuse_to_overwrite

if TYPE_CHECKING:
    from ..evaluation import Method, PhotoSet, Task

log = logging.getLogger("osdface")

SYNTHETIC, PAIRS, REAL = "synthetic", "pairs", "real"
PAPER_SETS = "celeba-test", "wider-test", "lfw-test", "webphoto-test"


def add_to(commands: Any) -> None:
    command = commands.add_parser("eval", help="measure restorers on sets of photos")
    verbs = command.add_subparsers(required=True, metavar="SET")
    one = verbs.add_parser(SYNTHETIC, help="good photos, degraded here: three strengths, and hot air")
    one.add_argument("folder", type=Path, metavar="FOLDER", help="good photos of aligned faces")
    two = verbs.add_parser(PAIRS, help="degraded photos and their originals, such as CelebA-Test")
    two.add_argument("degraded", type=Path, metavar="DEGRADED", help="folder of aligned faces")
    two.add_argument("originals", type=Path, metavar="ORIGINALS", help="folder with the same names")
    three = verbs.add_parser(REAL, help="photos degraded by life, such as Wider-Test: no originals")
    three.add_argument("folder", type=Path, metavar="FOLDER", help="aligned faces")
    for verb, kind in ((one, SYNTHETIC), (two, PAIRS), (three, REAL)):
        verb.set_defaults(run=run_eval, refuse=verb.error, kind=kind)
        add_methods(verb)
        add_measures(verb)
        verb.add_argument("--paper", choices=PAPER_SETS, help="add the paper's figures for this set to the table")
    add_options(one, Degrade)


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


def add_measures(verb: argparse.ArgumentParser) -> None:
    """What results are measured by."""
    verb.add_argument(
        "--measures",
        nargs="+",
        default=[],
        metavar="NAME",
        help="psnr, ssim, sharpness; random, detector:FILE, lite0 or lite2, distances of features; dlib, lmd, found; "
        "pyiqa:METRIC; fid, fid:FOLDER against other originals; paper, all that the paper has "
        "(default: psnr to sharpness, random, lite2, dlib, lmd and found, as far as they are installed)",
    )
    add_files(verb, "embedder", "detector")
    verb.add_argument("--perceptual", help=argparse.SUPPRESS)


def spelled_out(arguments: Sequence[str]) -> list[str]:
    """`osdface eval FOLDER`, as it was spelled when there was one set of photos, in today's words."""
    given = list(arguments)
    if given[:1] == ["eval"] and len(given) > 1 and not {SYNTHETIC, PAIRS, REAL, "-h", "--help"} & {given[1]}:
        given.insert(1, SYNTHETIC)
    return given


def run_eval(options: argparse.Namespace) -> int:
    from .. import evaluation as ev

    validate(options, Evaluate, Degrade, Load)
    table = options.output / "table.md"
    refuse_to_overwrite([table], options.force)
    photos = photos_of(options).first(options.count)
    methods, size = methods_of(options)
    task, missing = task_of(options, photos, methods, options.size or size)
    if options.force:
        (options.output / "photos.jsonl").unlink(missing_ok=True)
    with tqdm(total=len(photos), unit="photo", disable=None) as bar:
        result = ev.evaluate(task, options.output, about(options), on_photos=lambda done, _: bar.update(done - bar.n))
    ev.write_tables(task, result, options.output, paper=options.paper, missing=missing)
    ev.write_sheets(task, result, options.output)
    log.info("%s", table.read_text(encoding="utf-8"))
    log.info("%d photo(s) -> %s", len(photos), options.output)
    return 0


def photos_of(options: argparse.Namespace) -> "PhotoSet":
    from .. import evaluation as ev

    if options.kind == SYNTHETIC:
        return ev.synthetic(options.folder, seed=options.seed)
    return ev.real(options.folder) if options.kind == REAL else ev.pairs(options.degraded, options.originals)


def methods_of(options: argparse.Namespace) -> tuple[dict[str, "Method | Path"], int]:
    """What is compared, by name, and the side of the first model's crops."""
    from .. import evaluation as ev

    found: dict[str, Method | Path] = {ev.DENOISED: ev.Method(ev.denoised)}
    sizes = []
    for weights in options.weights:
        model = load_model(weights, options.base, device=options.device)
        sizes.append(model.config.crop_size)
        name = "restored" if len(options.weights) < 2 else name_of(weights)
        found[name] = ev.Method(ev.restorer(model), options.color)
        if options.steps > 1:
            found[f"{name}, {options.steps} steps"] = ev.Method(ev.restorer(model, steps=options.steps))
    for rival in options.rival:
        name, _, place = rival.rpartition("=")
        found[name or Path(place).stem] = (
            Path(place)
            if Path(place).is_dir()
            else ev.Method(ev.restoration_of(load_restorer(place, device=options.device)), options.color)
        )
    return found, sizes[0]


def task_of(
    options: argparse.Namespace, photos: "PhotoSet", methods: dict[str, "Method | Path"], size: int
) -> tuple["Task", list[str]]:
    """All of it, and a sentence for every measure that cannot be taken."""
    from .. import evaluation as ev

    names = options.measures or [*ev.ALWAYS, *filter(None, (options.perceptual or "").split(","))]
    names = [name for one in names for name in ([*ev.PAPER, "fid"] if one == "paper" else [one])]
    measures, missing = ev.measures(
        names,
        embedder=load_embedder(options.embedder) if options.embedder else None,
        detector=load_detector(options.detector) if options.detector else None,
    )
    originals = {SYNTHETIC: "folder", PAIRS: "originals"}.get(options.kind)
    frechet, more = ev.frechet(names, getattr(options, originals) if originals else None)
    for sentence in [*missing, *more]:
        log.warning("%s", sentence)
    workers = torch.get_num_threads() if torch.device(options.device).type == "cpu" else 1
    return ev.Task(photos, size, methods, measures, frechet, workers), [*missing, *more]


def about(options: argparse.Namespace) -> Json:
    """What an evaluation has to have in common with an unfinished one to go on from it."""
    left_out = {"run", "refuse", "force", "output", "device", "paper"}
    return {
        name: json.loads(json.dumps(value, default=str))
        for name, value in vars(options).items()
        if name not in left_out
    }


def name_of(weights: Path) -> str:
    """What a table calls a model: its file's name, or for the bundle that a stage leaves the stage's."""
    return weights.parent.name if weights.stem == "bundle" else weights.stem

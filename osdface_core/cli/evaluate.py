"""`osdface eval`: what restorers make of sets of photos, in figures and in pictures."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from ..detection.load import load_detector
from ..options import Degrade, Evaluate, Load
from ..recognition.embedders import load_embedder
from . import recognition
from .arguments import Commands, add_files, add_options, validate
from .methods import about, add_methods, begin, methods_of, workers_on

if TYPE_CHECKING:
    from ..evaluation import Method, PhotoSet, Task

log = logging.getLogger("osdface")

SETS = SYNTHETIC, PAIRS, REAL, RECOGNITION = "synthetic", "pairs", "real", "recognition"
PAPER_SETS = "celeba-test", "wider-test", "lfw-test", "webphoto-test"


def add_to(commands: Commands) -> None:
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
    recognition.add_to(verbs)
    add_options(one, Degrade)


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
    if given[:1] == ["eval"] and len(given) > 1 and not {*SETS, "-h", "--help"} & {given[1]}:
        given.insert(1, SYNTHETIC)
    return given


def run_eval(options: argparse.Namespace) -> int:
    from .. import evaluation as ev

    validate(options, Evaluate, Degrade, Load)
    table = begin(options)
    photos = photos_of(options).first(options.count)
    methods, model = methods_of(options)
    task, missing = task_of(options, photos, methods, options.size or model.config.crop_size)
    with tqdm(total=len(photos), unit="photo", disable=None) as bar:
        result = ev.evaluate(task, options.output, about(options), on_photos=lambda done, _: bar.update(done - bar.n))
    ev.write_tables(task, result, options.output, paper=options.paper, missing=missing)
    ev.write_sheets(task, result, options.output)
    ev.write_page(task, result, options.output, paper=options.paper, missing=missing)
    if options.attention:
        ev.write_attention(task, model, options.output)
    log.info("%s", table.read_text(encoding="utf-8"))
    log.info("%d photo(s) -> %s", len(photos), options.output)
    return 0


def photos_of(options: argparse.Namespace) -> "PhotoSet":
    from .. import evaluation as ev

    if options.kind == SYNTHETIC:
        return ev.synthetic(options.folder, seed=options.seed)
    return ev.real(options.folder) if options.kind == REAL else ev.pairs(options.degraded, options.originals)


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
    if options.kind == REAL and (beside := [name for it in measures if not it.alone for name in it.names]):
        missing.append(f"{', '.join(beside)}: not measured. These photos have no originals.")
        measures = [measure for measure in measures if measure.alone]
    originals = {SYNTHETIC: "folder", PAIRS: "originals"}.get(options.kind)
    frechet, more = ev.frechet(names, getattr(options, originals) if originals else None)
    for sentence in [*missing, *more]:
        log.warning("%s", sentence)
    return ev.Task(photos, size, methods, measures, frechet, workers_on(options.device)), [*missing, *more]

"""`osdface eval`: what a model makes of photographs degraded on purpose, in figures and in a picture."""

import argparse
import logging
from pathlib import Path
from typing import Any

from ..detection.load import load_detector
from ..files.atomic_write import atomic_write
from ..inference import load_model
from ..inference.spandrel import load_restorer
from ..recognition.embedders import load_embedder
from .detect import best_device
from .outputs import refuse_to_overwrite, write_json

log = logging.getLogger("osdface")


def add_to(commands: Any) -> None:
    command = commands.add_parser("eval", help="measure a model on degraded photos")
    command.set_defaults(run=run_eval)
    command.add_argument("photos", type=Path, metavar="FOLDER", help="good photos of aligned faces")
    command.add_argument("-o", "--output", required=True, type=Path, metavar="OUT", help="for table and pictures")
    command.add_argument(
        "--weights",
        type=Path,
        nargs="+",
        help="a bundle, or the authors' files (default: starter); several to compare them",
    )
    command.add_argument("--base", type=Path, help="SD 2.1-base for the authors' files")
    command.add_argument(
        "--restorer",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="compare with GFPGAN, RestoreFormer or CodeFormer: their weights",
    )
    command.add_argument("--embedder", type=Path, help="face embedder's weights, for identity")
    command.add_argument("--detector", help="RetinaFace weights, for landmarks")
    command.add_argument(
        "--measures",
        nargs="+",
        default=[],
        metavar="NAME",
        help="psnr, ssim, sharpness, dlib; distances of features: lite2, lite0, random, detector:FILE, pyiqa:NAME "
        "(default: the first four, lite2 and random, as far as they are installed)",
    )
    command.add_argument("--perceptual", default="", help=argparse.SUPPRESS)
    command.add_argument("--steps", type=int, default=1, help="compare with so many DDIM steps of the same model")
    command.add_argument("--count", type=int, help="only the first so many photos")
    command.add_argument("--seed", type=int, default=0, help="of the degradation")
    command.add_argument("--device", default=best_device(), help="cpu, cuda, mps … (default: %(default)s)")
    command.add_argument("--force", action="store_true", help="overwrite a table that exists")


def run_eval(options: argparse.Namespace) -> int:
    from .. import evaluation as metrics
    from ..evaluation.degradation import STRENGTHS
    from ..training.data import DataConfig, find_photos

    table = options.output / "table.md"
    refuse_to_overwrite([table], options.force)
    photos = find_photos(DataConfig((str(options.photos),)))[: options.count]
    methods: dict[str, metrics.Method] = {"denoised": metrics.denoised}
    for weights in options.weights or [None]:
        model = load_model(weights, options.base, device=options.device)
        name = "restored" if len(options.weights or []) < 2 else name_of(weights)
        methods[name] = metrics.restorer(model)
        if options.steps > 1:
            methods[f"{name}, {options.steps} steps"] = metrics.restorer(model, steps=options.steps)
    for weights in options.restorer:
        methods[weights.stem] = metrics.method_of(load_restorer(weights, device=options.device))
    measures, missing = metrics.measures(
        options.measures or [*metrics.ALWAYS, *filter(None, options.perceptual.split(","))],
        embedder=load_embedder(options.embedder) if options.embedder else None,
        detector=load_detector(options.detector) if options.detector else None,
    )
    for sentence in missing:
        log.warning("%s", sentence)
    result = metrics.evaluate(photos, model.config.crop_size, STRENGTHS, methods, measures, seed=options.seed)
    options.output.mkdir(parents=True, exist_ok=True)
    with atomic_write(table) as partial:
        partial.write_text(result.markdown(), encoding="utf-8", newline="\n")
    write_json(options.output / "table.json", result.rows)
    for strength in STRENGTHS:
        result.write_grid(options.output / f"{strength}.png", strength)
    log.info("%s", result.markdown())
    log.info("%d photo(s) -> %s", len(photos), options.output)
    return 0


def name_of(weights: Path) -> str:
    """What a table calls a model: its file's name, or for the bundle that a stage leaves the stage's."""
    return weights.parent.name if weights.stem == "bundle" else weights.stem

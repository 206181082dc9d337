"""`osdface eval recognition`: whether people are told apart through hot air, before and after restoring."""

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from ..options import Degrade, Evaluate, Load, Recognize
from ..recognition.embedders import load_embedder
from ..recognition.identity import embed_aligned
from .arguments import Commands, add_files, add_options, validate
from .methods import about, add_methods, begin, methods_of, workers_on

if TYPE_CHECKING:
    from ..evaluation.recognition import Embed

log = logging.getLogger("osdface")


def add_to(verbs: Commands) -> None:
    verb = verbs.add_parser("recognition", help="pairs of one person and of two, such as LFW's, through hot air")
    verb.set_defaults(run=run, refuse=verb.error, kind="recognition")
    verb.add_argument("folder", type=Path, metavar="FOLDER", help="aligned faces: NAME/NAME_0001.jpg or NAME_0001.jpg")
    verb.add_argument("pairs", type=Path, metavar="PAIRS", help="list of pairs, in the format of LFW's pairs.txt")
    add_methods(verb)
    add_files(verb, "embedder")
    add_options(verb, Recognize)
    add_options(verb, Degrade)


def run(options: argparse.Namespace) -> int:
    from .. import evaluation as ev
    from ..evaluation import recognition

    validate(options, Evaluate, Recognize, Degrade, Load)
    table = begin(options)
    pairs = recognition.read_pairs(options.pairs, options.count)
    photos = recognition.in_hot_air(options.folder, pairs, list(map(int, options.turbulence)), options.seed)
    embed = embedder_of(options)
    methods, model = methods_of(options)
    task = ev.Task(photos, options.size or model.config.crop_size, methods, [], workers=workers_on(options.device))
    with tqdm(total=len(photos), unit="photo", disable=None) as bar:
        ev.evaluate(task, options.output, about(options), on_photos=lambda done, _: bar.update(done - bar.n))
    recognition.write(recognition.recognize(task, pairs, options.output, embed), task, options.output)
    if options.attention:
        ev.write_attention(task, model, options.output)
    log.info("%s", table.read_text(encoding="utf-8"))
    log.info("%d pair(s) -> %s", len(pairs), options.output)
    return 0


def embedder_of(options: argparse.Namespace) -> "Embed":
    from ..evaluation.dlib_faces import dlib_faces

    if options.embedder is None:
        return dlib_faces().embed
    network = load_embedder(options.embedder)
    return lambda images: embed_aligned(network, images)

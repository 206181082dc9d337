"""`osdface weights`: convert."""

import argparse
import logging
from pathlib import Path
from typing import Any

import torch

from ..weights import convert
from .outputs import refuse_to_overwrite

log = logging.getLogger("osdface")

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def add_to(commands: Any) -> None:
    weights = commands.add_parser("weights", help="work with weights files").add_subparsers(required=True)
    make = weights.add_parser("convert", help="turn the authors' files and SD 2.1-base into one bundle")
    make.set_defaults(run=run_convert)
    make.add_argument("folder", type=Path, metavar="FOLDER", help="the folder with the authors' three files")
    make.add_argument("--base", type=Path, required=True, help="SD 2.1-base: diffusers folder or single file")
    make.add_argument("-o", "--output", required=True, type=Path, metavar="OUT", help="the bundle, a .safetensors file")
    make.add_argument("--dtype", choices=DTYPES, default="fp32", help="precision to store (default: %(default)s)")
    make.add_argument("--force", action="store_true", help="overwrite OUT if it exists")


def run_convert(options: argparse.Namespace) -> int:
    refuse_to_overwrite([options.output], options.force)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    convert(options.folder, options.base, options.output, dtype=DTYPES[options.dtype])
    log.info("%s: %.2f GB", options.output, options.output.stat().st_size / 1e9)
    return 0

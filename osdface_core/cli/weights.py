"""`osdface weights`: list, download, verify, convert, export."""

import argparse
import logging
import sys
from pathlib import Path
from textwrap import fill
from typing import Any

from tqdm import tqdm

from ..errors import WeightsError
from ..files.names import printable
from ..files.outputs import refuse_to_overwrite
from ..models.precision import DTYPES
from ..options import Convert, Download
from ..weights import convert
from ..weights.authors import LORA_FILE, PROMPT_FILE, VRE_FILE
from ..weights.catalog import CATALOG, NEEDED, entry_named
from ..weights.consent import agree, has_agreed
from ..weights.download import download
from ..weights.export import export
from ..weights.find import find, locate, models_folder
from ..weights.verify import verify
from .arguments import Commands, add_options

log = logging.getLogger("osdface")

MARGIN: Any = {
    "initial_indent": "    ",
    "subsequent_indent": "    ",
    "break_long_words": False,
    "break_on_hyphens": False,
}
NAMES = [entry.name for entry in CATALOG]


def add_to(commands: Commands) -> None:
    weights = commands.add_parser("weights", help="get, check and convert weights files").add_subparsers(
        required=True, metavar="COMMAND"
    )
    show = weights.add_parser("list", help="every file that can be used: what for, where it is, its licence")
    show.set_defaults(run=run_list)

    get = weights.add_parser("download", help="get files, after showing their licence")
    get.set_defaults(run=run_download, refuse=get.error)
    wanted = f"{', '.join(NAMES)} (default: all that OSDFace needs, {', '.join(NEEDED)})"
    get.add_argument("names", nargs="*", choices=[*NAMES, []], metavar="NAME", help=wanted)
    get.add_argument("--models", type=Path, help="ComfyUI's models folder, or one like it (default: $OSDFACE_MODELS)")
    add_options(get, Download)

    check = weights.add_parser("verify", help="compare files with the sha256 they should have")
    check.set_defaults(run=run_verify)
    check.add_argument("names", nargs="*", choices=[*NAMES, []], metavar="NAME", help="default: all that are there")

    make = weights.add_parser("convert", help="turn authors' files and SD 2.1-base into one bundle")
    make.set_defaults(run=run_convert, refuse=make.error)
    make.add_argument(
        "source", type=Path, metavar="FILES", help="the folder with OSDFace's three files, or osediff_face.pkl"
    )
    make.add_argument("--base", type=Path, required=True, help="SD 2.1-base: diffusers folder or single file")
    make.add_argument("-o", "--output", required=True, type=Path, metavar="OUT", help="the bundle, a .safetensors file")
    add_options(make, Convert)
    make.add_argument(
        "--text",
        action="append",
        metavar="TEXT",
        help="osediff: a text that the bundle is to hold, the usual one first; again for more (default: a few plain "
        "ones)",
    )
    make.add_argument("--force", action="store_true", help="overwrite OUT if it exists")

    back = weights.add_parser("export", help="turn a bundle back into the authors' three files")
    back.set_defaults(run=run_export)
    back.add_argument("bundle", type=Path, metavar="BUNDLE")
    back.add_argument("--base", type=Path, required=True, help="the SD 2.1-base that the bundle was made from")
    back.add_argument("-o", "--output", required=True, type=Path, metavar="FOLDER", help="where to write the files")
    back.add_argument("--force", action="store_true", help="overwrite files that exist")


def run_list(_options: argparse.Namespace) -> int:
    for entry in CATALOG:
        found = printable(str(find(entry) or "not on this machine"))
        sys.stdout.write(f"{entry.name}: {found}\n{fill(entry.about, 110, **MARGIN)}\n\n")
    return 0


def run_download(options: argparse.Namespace) -> int:
    models = options.models or models_folder()
    for entry in map(entry_named, options.names or NEEDED):
        found = find(entry, [models])
        if found:
            log.info("%s is on this machine already: %s", entry.name, found)
            continue
        log.info("%s: %s\nInto %s", entry.name, entry.about, models / entry.folder)
        if not has_agreed(entry):
            if not options.accept_licence and not asked(options):
                log.info("%s: not downloaded", entry.name)
                return 1
            agree([entry])
        with Bars() as bars:
            log.info("%s", download(entry, models / entry.folder, bars.update))
    return 0


def asked(options: argparse.Namespace) -> bool:
    """Whether the person at the terminal agrees."""
    if not sys.stdin.isatty():
        options.refuse("there is nobody to ask: read the licence above, then add --accept")
    return input("Download on these terms? [y/N] ").strip().lower() in ("y", "yes")


class Bars:
    """A progress bar in the terminal for every file of a download."""

    def __enter__(self) -> "Bars":
        self.path, self.bar = "", tqdm(disable=True)
        return self

    def update(self, path: str, done: int, total: int | None) -> None:
        if path != self.path:
            self.bar.close()
            self.path = path
            self.bar = tqdm(desc=path, total=total, initial=done, unit="B", unit_scale=True, disable=None)
        self.bar.update(done - self.bar.n)

    def __exit__(self, *_error: object) -> None:
        self.bar.close()


def run_verify(options: argparse.Namespace) -> int:
    code = 0
    for entry in map(entry_named, options.names or NAMES):
        try:
            found = locate(entry.name) if options.names else find(entry)
            for path, digest in (verify(entry, found) if found else {}).items():
                sys.stdout.write(f"{digest}  {printable(str(path))}\n")
        except WeightsError as error:
            log.error("error: %s", error)
            code = 1
    return code


def run_convert(options: argparse.Namespace) -> int:
    if options.text and options.kind != "osediff":
        options.refuse("--text: OSDFace takes none, leave it out")
    refuse_to_overwrite([options.output], options.force)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    dtype, texts = DTYPES[options.dtype], options.text
    convert(options.source, options.base, options.output, kind=options.kind, dtype=dtype, prompts=texts)
    log.info("%s: %.2f GB", options.output, options.output.stat().st_size / 1e9)
    return 0


def run_export(options: argparse.Namespace) -> int:
    refuse_to_overwrite([options.output / name for name in (VRE_FILE, PROMPT_FILE, LORA_FILE)], options.force)
    export(options.bundle, locate(options.base), options.output)
    log.info("%s", options.output)
    return 0

"""`osdface restore`: photos and videos from disk to disk."""

import argparse
import logging
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..devices import for_photos
from ..errors import ImageError, OptionError, OSDFaceError
from ..files.photos import SUFFIXES, read_photo, write_photo
from ..inference.restorer import as_restorer
from ..models.diffusion import OneStepModel
from ..models.osediff import OSEDiffModel
from ..models.restorer import Restorer
from ..options import Choose, Detect, Load, Paste, PhotoOptions, Restore, Video
from ..osediff import SEED
from ..pipeline import restore_aligned, restore_image
from ..serialization import Json
from .arguments import add_options, flags_given, refuse, validate
from .choice import Choice, add_choice, check_choice
from .names import expand, find_clash, is_apple_double
from .networks import add_networks, check_networks, load, load_tools
from .outputs import named, printable, refuse_to_overwrite, write_json
from .video import add_video, check_video, is_video, restore_clip

log = logging.getLogger("osdface")

AUTHORS_SEED = 114


def add_to(commands: Any) -> None:
    restore = commands.add_parser("restore", help="restore the faces in photos and videos")
    restore.set_defaults(run=run, refuse=restore.error)
    restore.add_argument("inputs", nargs="+", type=Path, metavar="IN", help="photos, folders of photos, videos")
    restore.add_argument(
        "-o", "--output", required=True, type=Path, metavar="OUT", help="a folder; a file for one photo or video"
    )
    add_networks(restore)
    add_choice(restore)
    add_video(restore.add_argument_group("videos"))
    restore.add_argument("--aligned", action="store_true", help="every input is one aligned face already")
    restore.add_argument("--exact", action="store_true", help="aligned, and every step as in the authors' program")
    add_options(restore, Restore)
    add_options(restore, Paste)
    restore.add_argument("--report", action="store_true", help="write a JSON report beside every output")
    restore.add_argument("--force", action="store_true", help="overwrite outputs that exist")


def run(options: argparse.Namespace) -> int:
    options.aligned |= options.exact
    check_options(options)
    inputs = expand(options.inputs) if options.frames else find_inputs(options.inputs)
    if len(inputs) > 1 and is_file_name(options.output):
        options.refuse(f"{options.output}: {len(inputs)} photos cannot go into one file, name a folder")
    if options.frames and len(inputs) == 1:
        outputs = [options.output]
    else:
        outputs = [output_path(path, options.output) for path in inputs]
    written = [output.with_suffix(".json") for output in outputs] if options.report else outputs
    clash = find_clash(written)
    if clash is not None:
        options.refuse(f"several photos would be written to {clash}: restore them into folders of their own")
    model = load(options)
    choice = None if options.aligned else Choice(options, as_restorer(model).crop_size)
    tools = load_tools(options)
    failed = 0
    bar = tqdm(inputs, unit="photo", disable=None)
    for path, output in zip(bar, outputs, strict=True):
        bar.set_postfix_str(printable(path.name))
        try:
            with named(path):
                restore_file(path, output, model, choice, tools, options)
        except OSDFaceError as error:
            failed += 1
            log.error("error: %s", error)
    if failed:
        log.error("%d of %d photo(s) failed, the rest is done", failed, len(inputs))
    return 1 if failed else 0


def check_options(options: argparse.Namespace) -> None:
    """End the command as wrong usage where options make no sense."""
    validate(options, Load, PhotoOptions)
    try:
        Paste.of(vars(options)).check_tools(options.embedder, options.parser)
    except OptionError as error:
        refuse(options, error)
    check_networks(options)
    check_choice(options)
    check_video(options)
    files = [name for name in ("faces", "person", "embedder", "parser", "upscaler") if getattr(options, name)]
    without = ["color"] if options.exact else []
    given = [*(f"--{name}" for name in files), *flags_given(options, Detect, Choose, Paste, Video, without=without)]
    if options.aligned and given:
        options.refuse(f"{', '.join(given)}: only for whole photos, leave them out with --aligned")
    given = flags_given(options, Restore, without=["prompt", "seed"])
    if options.exact and given:
        options.refuse(f"{', '.join(given)}: no choice of the authors' program, leave them out with --exact")


def restore_file(
    path: Path,
    output: Path,
    model: OneStepModel | Restorer,
    choice: Choice | None,
    tools: dict[str, Any],
    options: argparse.Namespace,
) -> None:
    """One photo or video from disk to disk. Raises ImageError."""
    moving = options.frames or is_video(path)
    if not moving and not is_image_name(output):
        raise ImageError(f"{output}: this kind of file cannot be written. Name the output, with {', '.join(SUFFIXES)}.")
    report_path = output.with_suffix(".json")
    refuse_to_overwrite([output, report_path] if options.report else [output], options.force)
    report: Json = {"input": str(path), "output": str(output), "seed": options.seed}
    if choice is not None and moving:
        report |= restore_clip(path, output, model, choice, options, how_to_restore(choice, tools, options))
        log.info("%s: %s -> %s", path, report["summary"], output)
    else:
        report |= restore_still(path, output, model, choice, tools, options)
    if options.report:
        write_json(report_path, report)


def restore_still(
    path: Path,
    output: Path,
    model: OneStepModel | Restorer,
    choice: Choice | None,
    tools: dict[str, Any],
    options: argparse.Namespace,
) -> Json:
    """One photo. Returns what became of its faces."""
    photo = read_photo(path)
    pixels = photo.pixels.to(for_photos(options.device))
    output.parent.mkdir(parents=True, exist_ok=True)
    if choice is None:
        seed, chosen = options.seed, asdict(Restore.of(vars(options)))
        if options.exact:
            own = isinstance(model, OSEDiffModel)
            seed = (SEED if own else AUTHORS_SEED) if seed is None else seed
            chosen = {"prompt": options.prompt, "color": options.color} if own else {}
        restored = restore_aligned(pixels, model, exact=options.exact, **chosen | {"seed": seed})
        write_photo(output, restored, None if options.exact else photo, truncate=options.exact)
        log.info("%s: aligned face restored -> %s", path, output)
        return {"seed": seed, "summary": "aligned face restored"}
    result = restore_image(
        pixels,
        model,
        faces=choice.faces(path, pixels),
        choose=choice.crops,
        **how_to_restore(choice, tools, options),
    )
    write_photo(output, result.image, photo)
    log.info("%s: %s -> %s", path, result.summary().removeprefix("frame 0: "), output)
    return result.report_json()


def how_to_restore(choice: Choice, tools: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """What `restore_image` takes for photos and for the frames of videos alike."""
    return tools | {"embedder": choice.embedder, **asdict(PhotoOptions.of(vars(options)))}


def find_inputs(paths: Iterable[Path]) -> list[Path]:
    """The photos named, and those in the folders named. Raises ImageError."""
    inputs: list[Path] = []
    for path in expand(paths):
        with named(path):
            if path.is_dir():
                inputs += sorted(file for file in path.iterdir() if is_image_name(file) and not is_apple_double(file))
            else:
                inputs.append(path)
    if not inputs:
        raise ImageError(f"There are no photos in {', '.join(map(str, paths))} ({', '.join(SUFFIXES)}).")
    return inputs


def is_image_name(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def is_file_name(path: Path) -> bool:
    return (is_image_name(path) or is_video(path)) and not path.is_dir()


def output_path(path: Path, output: Path) -> Path:
    return output if is_file_name(output) else output / path.name

"""`osdface restore`: photos and videos from disk to disk."""

import argparse
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import torch
from tqdm import tqdm

from ..compositing.color import Method
from ..compositing.masks import Shape
from ..compositing.parsing import PARTS, FaceParser, load_parser
from ..errors import ImageError, OSDFaceError
from ..files.photos import SUFFIXES, read_photo, write_photo
from ..inference import Placement, load_model
from ..models.osdface import OSDFaceModel
from ..models.precision import Precision
from ..pipeline import enlarged, restore_aligned, restore_image
from ..serialization import Json
from ..weights import read_model
from .choice import Choice, add_choice, check_choice
from .names import expand, find_clash, is_apple_double
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
    restore.add_argument(
        "--weights", type=Path, help="a bundle, or the folder with the authors' files (default: starter)"
    )
    restore.add_argument(
        "--base", type=Path, help="SD 2.1-base for the authors' files: diffusers folder or single file"
    )
    restore.add_argument(
        "--precision",
        default="auto",
        help="auto, fp32, fp16, bf16, or parts: unet=fp16,decode=bf16. On a CPU fp16 halves the memory of weights",
    )
    restore.add_argument("--decoder", type=Path, help="TAESD's decoder in place of the VAE's: fast and approximate")
    restore.add_argument("--compile", action="store_true", help="compile the networks first: minutes, for many photos")
    add_choice(restore)
    add_video(restore)
    restore.add_argument("--aligned", action="store_true", help="every input is one aligned face already")
    restore.add_argument("--exact", action="store_true", help="aligned, and every step as in the authors' program")
    restore.add_argument("--seed", type=int, help="sample the latent with this seed (default: its mode, no randomness)")
    restore.add_argument(
        "--strength", type=float, default=1.0, help="0 keeps the photo, 1 takes the restored face whole"
    )
    restore.add_argument(
        "--latent-strength", type=float, default=1.0, help="the same in the latents: softer transitions, less exact"
    )
    restore.add_argument(
        "--timestep", type=int, help="0..999, how damaged faces are taken to be (default: 399, as OSDFace was trained)"
    )
    restore.add_argument(
        "--upscale", type=float, default=1.0, help="enlarge the photo by this factor, then paste faces in"
    )
    restore.add_argument("--color", choices=get_args(Method), default="none", help="give the faces the photo's colours")
    restore.add_argument(
        "--min-identity", type=float, default=0.0, help="0..1: leave faces that turn out less alike as they were"
    )
    restore.add_argument("--shape", choices=get_args(Shape), default="square", help="paste whole crops, or heads alone")
    restore.add_argument("--parser", help="face parser's weights, or parsenet: keeps what is before a face, like hands")
    restore.add_argument(
        "--leave", nargs="+", choices=PARTS, default=(), metavar="PART", help="parts to keep, such as hair"
    )
    restore.add_argument(
        "--batch-size", type=int, help="faces restored together (default: as many as free device memory holds)"
    )
    restore.add_argument(
        "--placement",
        choices=get_args(Placement),
        default="auto",
        help="parts: one part of the model at a time on the device, for small cards (auto: where it has to be)",
    )
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
    if model.notice:
        log.warning("warning: %s", model.notice)
    choice = None if options.aligned else Choice(options, model.config.crop_size)
    parser = None if options.parser is None else load_parser(options.parser, device=options.device)
    failed = 0
    bar = tqdm(inputs, unit="photo", disable=None)
    for path, output in zip(bar, outputs, strict=True):
        bar.set_postfix_str(printable(path.name))
        try:
            with named(path):
                restore_file(path, output, model, choice, parser, options)
        except OSDFaceError as error:
            failed += 1
            log.error("error: %s", error)
    if failed:
        log.error("%d of %d photo(s) failed, the rest is done", failed, len(inputs))
    return 1 if failed else 0


def load(options: argparse.Namespace) -> OSDFaceModel:
    """The model, ready for speed; for --exact with PyTorch's own convolutions, in float32, as the authors' program."""
    if options.exact:
        return read_model(options.weights, options.base).to(options.device)
    return load_model(
        options.weights,
        options.base,
        device=options.device,
        precision=options.precision,
        decoder=options.decoder,
        compiled=options.compile,
        placement=options.placement,
    )


def check_options(options: argparse.Namespace) -> None:
    """End the command as wrong usage where options make no sense."""
    try:
        torch.empty(0, device=options.device)
    except (RuntimeError, AssertionError) as error:
        options.refuse(f"--device {options.device}: {str(error).splitlines()[0]}")
    try:
        Precision.parse(options.precision, options.device)
    except ValueError as error:
        options.refuse(f"--precision: {error}")
    if options.exact and (options.precision != "auto" or options.decoder or options.compile):
        options.refuse("--exact computes as the authors' program does: leave out --precision, --decoder and --compile")
    if options.seed is not None and not 0 <= options.seed < 2**63:
        options.refuse(f"--seed {options.seed}: it must be 0 or more, and below 2^63")
    if not 0 <= options.strength <= 1:
        options.refuse(f"--strength {options.strength}: it must lie between 0 and 1")
    if not 0 <= options.min_identity <= 1:
        options.refuse(f"--min-identity {options.min_identity}: it must lie between 0 and 1")
    if options.min_identity > 0 and options.embedder is None:
        options.refuse("--min-identity needs --embedder, which measures it")
    if options.leave and options.parser is None:
        options.refuse("--leave needs --parser, which finds the parts")
    check_choice(options)
    check_video(options)
    if not 0 <= options.latent_strength <= 1:
        options.refuse(f"--latent-strength {options.latent_strength}: it must lie between 0 and 1")
    if options.timestep is not None and not 0 <= options.timestep <= 999:
        options.refuse(f"--timestep {options.timestep}: it must lie between 0 and 999")
    if not 1 <= options.upscale < float("inf"):
        options.refuse(f"--upscale {options.upscale}: it must be 1 or more")
    if options.batch_size is not None and options.batch_size < 1:
        options.refuse(f"--batch-size {options.batch_size}: it must be 1 or more")
    for_photos = {
        "--faces": options.faces,
        "--select": options.select,
        "--person": options.person,
        "--skip-sharp": options.skip_sharp is not None,
        "--upscale": options.upscale != 1,
        "--strength": options.strength != 1,
        "--color": options.color != "none",
        "--embedder": options.embedder,
        "--shape": options.shape != "square",
        "--parser": options.parser,
    }
    given = [name for name, value in for_photos.items() if value]
    if options.aligned and given:
        options.refuse(f"{', '.join(given)}: only for whole photos, leave them out with --aligned")


def restore_file(
    path: Path,
    output: Path,
    model: OSDFaceModel,
    choice: Choice | None,
    parser: FaceParser | None,
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
        report |= restore_clip(path, output, model, choice, options, how_to_restore(choice, parser, options))
        log.info("%s: %s -> %s", path, report["summary"], output)
    else:
        report |= restore_still(path, output, model, choice, parser, options)
    if options.report:
        write_json(report_path, report)


def restore_still(
    path: Path,
    output: Path,
    model: OSDFaceModel,
    choice: Choice | None,
    parser: FaceParser | None,
    options: argparse.Namespace,
) -> Json:
    """One photo. Returns what became of its faces."""
    photo = read_photo(path)
    pixels = photo.pixels.to(options.device)
    output.parent.mkdir(parents=True, exist_ok=True)
    if choice is None:
        seed = AUTHORS_SEED if options.exact and options.seed is None else options.seed
        restored = restore_aligned(pixels, model, exact=options.exact, seed=seed)
        write_photo(output, restored, None if options.exact else photo, truncate=options.exact)
        log.info("%s: aligned face restored -> %s", path, output)
        return {"seed": seed, "summary": "aligned face restored"}
    result = restore_image(
        pixels,
        model,
        faces=choice.faces(path, pixels),
        choose=choice.crops,
        background=enlarged(pixels, options.upscale),
        **how_to_restore(choice, parser, options),
    )
    write_photo(output, result.image, photo)
    log.info("%s: %s -> %s", path, result.summary().removeprefix("frame 0: "), output)
    return result.report_json()


def how_to_restore(choice: Choice, parser: FaceParser | None, options: argparse.Namespace) -> dict[str, Any]:
    """What `restore_image` takes for photos and for the frames of videos alike."""
    return {
        "strength": options.strength,
        "latent_strength": options.latent_strength,
        "timestep": options.timestep,
        "color": options.color,
        "embedder": choice.embedder,
        "min_identity": options.min_identity,
        "shape": options.shape,
        "parser": parser,
        "leave": options.leave,
        "batch_size": options.batch_size,
        "seed": options.seed,
    }


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

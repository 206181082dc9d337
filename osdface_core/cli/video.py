"""`osdface restore` for videos and folders of frames: the options, and the work."""

import argparse
import logging
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from ..album.fingerprint import of_file, of_options
from ..devices import for_photos
from ..errors import ImageError, OSDFaceError
from ..faces import FaceReport, Faces, so_many
from ..files.formats import SUFFIXES as PHOTOS
from ..files.names import is_apple_double
from ..files.outputs import named, refuse_to_overwrite, write_json
from ..files.photos import Photo, read_photo, write_photo
from ..files.videos import SUFFIXES, VideoFile, check_output, write_video
from ..inference.restorer import as_restorer
from ..models.diffusion import OneStepModel
from ..models.restorer import Restorer
from ..options import PhotoOptions, Video
from ..serialization import Json, rounded
from ..video.choose import select_tracks
from ..video.restore import follow_faces, keep_people, restore_video
from .album import modules, what_is_asked
from .arguments import Arguments, add_options, validate
from .choice import Choice
from .clip_parts import how_of, images_of, restore_in_parts
from .networks import with_bar

log = logging.getLogger("osdface")

NUMBER = re.compile(r"(\d+)")


def add_video(command: Arguments) -> None:
    command.add_argument("--frames", action="store_true", help="IN is a folder with a video's frames, OUT one for them")
    add_options(command, Video)


def check_video(options: argparse.Namespace) -> None:
    """End the command as wrong usage where options make no sense."""
    validate(options, Video)
    if options.frames or any(is_video(path) for path in options.inputs):
        given = [name for name, value in (("--aligned", options.aligned), ("--faces", options.faces)) if value]
        if given:
            options.refuse(f"{', '.join(given)}: only for photos, leave it out for a video")
    if options.frames and (options.devices or options.resume):
        options.refuse("--devices and --resume are for photos and video files, leave them out with --frames")


def is_video(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def restore_clips(
    clips: Sequence[Path],
    model: OneStepModel | Restorer,
    choice: Choice,
    tools: dict[str, Any],
    options: argparse.Namespace,
) -> int:
    """Restore videos, or folders of frames, one after the other. Returns how many failed."""
    how = how_of(choice, tools, options)
    how["upscaler"] = None if how["upscaler"] is None else with_bar(how["upscaler"])
    failed = 0
    for path in clips:
        output = options.output if options.into_file else options.output / path.name
        written = [output, output.with_suffix(".json")] if options.report else [output]
        try:
            with named(path):
                if options.resume and output.exists():
                    log.info("%s: %s is there already", path, output)
                    continue
                refuse_to_overwrite(written, options.force)
                made = restore_clip(path, output, model, choice, options, how)
                log.info("%s: %s -> %s", path, made["summary"], output)
                for report in written[1:]:
                    write_json(report, {"input": str(path), "output": str(output), "seed": options.seed} | made)
        except OSDFaceError as error:
            failed += 1
            log.error("error: %s", error)
    return failed


def restore_clip(
    source: Path,
    output: Path,
    model: OneStepModel | Restorer,
    choice: Choice,
    options: argparse.Namespace,
    how: dict[str, Any],
) -> Json:
    """A video, or a folder of frames, from disk to disk. Returns what became of the faces. Raises ImageError."""
    video = None if options.frames else VideoFile(source)
    if video is not None:
        check_output(output, video)
    files = frame_files(source) if video is None else []
    count = len(files) if video is None else video.frame_count
    passes = 3 if options.min_identity > 0 else 2
    bar = tqdm(total=passes * count or None, unit="frame", leave=False, disable=None)

    waiting: deque[Photo] = deque()  # frames of a folder that are read, and not written yet

    def photos(keep: bool) -> Iterator[Tensor]:
        for photo in map(read_photo, files):
            if keep:
                waiting.append(photo)
            yield photo.pixels

    def frames(keep: bool = False) -> Iterator[Tensor]:
        for pixels in photos(keep) if video is None else video.frames():
            yield pixels.to(for_photos(options.device))
            bar.update()

    def find() -> Faces:
        """The faces to restore, with all that is decided for people."""
        faces = follow_faces(
            frames(),
            choice.detected,
            smoothing=options.smoothing,
            max_gap=options.max_gap,
            limits=choice.limits,
            choose=choice.crops if choice.looks else None,
            crop_size=as_restorer(model).crop_size,
        )
        if options.select is not None:
            faces = select_tracks(faces, options.select, options.count)
        if options.min_identity > 0 and choice.embedder is not None:
            faces = keep_people(frames(), faces, model, choice.embedder, PhotoOptions.of(vars(options)))
        return faces

    entries: list[FaceReport] = []
    output.parent.mkdir(parents=True, exist_ok=True)
    with bar:
        if video is not None and (options.devices or options.resume):
            key = key_of(source, model, choice, how, options)
            count, entries = restore_in_parts(video, output, key, find, options)
        else:
            faces = find()
            count, how = faces.frames, how | {"min_identity": 0.0}
            parts = restore_video(
                frames(keep=True), faces, model, steady=options.steady, tolerance=options.tolerance, **how
            )
            if video is None:
                output.mkdir(exist_ok=True)
                for file, image in zip(files, chain.from_iterable(images_of(parts, entries)), strict=True):
                    write_photo(output / file.name, image[None], waiting.popleft())
            else:
                write_video(output, images_of(parts, entries), video)
    restored = sum(entry.restored for entry in entries)
    summary = f"{restored} of {so_many(len(entries))} in {count} frames restored"
    return {"summary": summary, "frames": count, "faces": [rounded(entry.to_json()) for entry in entries]}


def key_of(
    source: Path, model: OneStepModel | Restorer, choice: Choice, how: dict[str, Any], options: argparse.Namespace
) -> str:
    """The fingerprint of a video and of all that its restoration depends on."""
    asked = what_is_asked(options) | asdict(Video.of(vars(options))) | {"source": of_file(source)}
    return of_options(asked, modules(model, choice.detector, *how.values()))


def frame_files(folder: Path) -> list[Path]:
    """The frames in a folder, by the numbers in their names. Raises ImageError where there are none."""
    if not folder.is_dir():
        raise ImageError(f"{folder}: this is no folder. With --frames, name the folder that a video's frames are in.")
    files = [path for path in folder.iterdir() if path.suffix.lower() in PHOTOS and not is_apple_double(path)]
    if not files:
        raise ImageError(f"There are no frames in {folder} ({', '.join(PHOTOS)}).")
    return sorted(
        files, key=lambda file: [int(part) if n % 2 else part for n, part in enumerate(NUMBER.split(file.name))]
    )

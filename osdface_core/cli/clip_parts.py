"""A long video in parts: restored by a process a device, resumed where they ended, joined without encoding twice."""

import argparse
import json
import logging
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from ..album.devices import LOST, Fleet, listening
from ..album.journal import BEGUN, DONE, FAILED, Entry, Journal
from ..album.plan import JOURNAL, Input, Shard
from ..compositing.paste import Composite
from ..devices import for_photos
from ..errors import DeviceLostError, ImageError, OSDFaceError
from ..faces import FaceReport, Faces
from ..files.outputs import named, write_json
from ..files.video_parts import SUFFIX, join_parts, write_part
from ..files.videos import VideoFile
from ..options import PhotoOptions
from ..video.restore import divide, first_needed, restore_video
from .album import interruptible, sendable
from .choice import Choice
from .networks import Networks, open_networks
from .outputs import set_up_messages

log = logging.getLogger("osdface")

PART = 512
"""Frames of a part, about."""
FACES = "faces.json"


def restore_in_parts(
    video: VideoFile, output: Path, key: str, find: Callable[[], Faces], options: argparse.Namespace
) -> tuple[int, list[FaceReport]]:
    """A video from disk to disk, part by part. Returns how many frames it has, and what became of the faces.

    key: the fingerprint of the options and of the video: what an earlier run has made is used where it is the same.
    find: finds the faces.
    Raises ImageError where a part failed, KeyboardInterrupt where Ctrl-C ended it in good order.
    """
    folder = output.parent / JOURNAL / f"{output.name}-{key}"
    if options.resume and (folder / FACES).exists():
        known = json.loads((folder / FACES).read_text(encoding="utf-8"))
        faces, times = Faces.from_json(known["faces"]), known["times"]
    else:
        shutil.rmtree(folder, ignore_errors=True)
        faces, times = find(), video.times
        write_json(folder / FACES, {"faces": faces.to_json(), "times": times})
    ranges = divide(faces.frames, -(-faces.frames // PART))
    names = [f"{number:05}{SUFFIX}" for number in range(len(ranges))]
    left = [Input(str(folder), name) for name in names if not report_of(folder / name).exists()]
    if len(left) < len(names):
        log.info("%d of %d parts are done already", len(names) - len(left), len(names))
    devices = (options.devices or [options.device])[: len(left)]
    work = partial(work_on_parts, sendable(options), video.path, ranges)
    fleet = Fleet(devices, work, Shard(), [left[number :: len(devices)] for number in range(len(devices))], folder)
    with interruptible(fleet), tqdm(total=len(left), unit="part", leave=False, disable=None) as bar:
        for entry in fleet.run(resume=True):
            bar.update()
            if entry.state == FAILED:
                log.error("error: %s", entry.error)
    if fleet.stopped:
        raise KeyboardInterrupt("The same command with --resume goes on.")
    failed = sum(not report_of(folder / name).exists() for name in names)
    if failed:
        raise ImageError(f"{failed} of {len(names)} parts failed. The same command with --resume tries again.")
    join_parts(output, [folder / name for name in names], video, times)
    reports = [json.loads(report_of(folder / name).read_text(encoding="utf-8")) for name in names]
    shutil.rmtree(folder)
    return faces.frames, [FaceReport.from_json(entry) for report in reports for entry in report]


class Stopping:
    """Whether a process is to begin no more parts: `listening` says so."""

    def __init__(self) -> None:
        self.stopped = False

    def stop(self) -> None:
        self.stopped = True

    abandon = stop


def work_on_parts(
    chosen: dict[str, Any],
    source: Path,
    ranges: Sequence[range],
    device: str,
    shard: Shard,
    inputs: Sequence[Input],
    resume: bool,
    told: Connection,
) -> None:
    """The process for one device: restores one part after the other."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that started it says when to stop
    set_up_messages(logging.WARNING)
    options, stopping = argparse.Namespace(**chosen | {"device": device}), Stopping()
    networks = open_networks(options)
    folder = Path(inputs[0].folder) if inputs else Path()
    with listening(told, stopping):
        faces = Faces.from_json(json.loads((folder / FACES).read_text(encoding="utf-8"))["faces"]) if inputs else None
        journal = Journal(folder, shard, {})
        for one in inputs:
            path = Path(one.path)
            if stopping.stopped or report_of(path).exists() or faces is None:
                continue
            journal.add(Entry(one.path, one.name, BEGUN))
            try:
                with named(path):
                    restore_part(path, source, ranges[int(path.stem)], faces, networks, options)
                journal.add(Entry(one.path, one.name, DONE))
            except DeviceLostError as error:
                log.error("error: on %s: %s", device, error)
                os._exit(LOST)
            except OSDFaceError as error:
                journal.add(Entry(one.path, one.name, FAILED, error=str(error)))
    sys.exit(0)


def restore_part(
    path: Path, source: Path, part: range, faces: Faces, networks: Networks, options: argparse.Namespace
) -> None:
    """A part of a video from disk to disk. What became of its faces is written last: then it is done."""
    video, entries = VideoFile(source), list[FaceReport]()
    how = how_of(networks.choice, networks.tools, options) | {"min_identity": 0.0}  # it is decided for people
    frames = (it.to(for_photos(options.device)) for it in video.frames(first_needed(part, options.steady)))
    made = restore_video(
        frames, faces, networks.model, steady=options.steady, tolerance=options.tolerance, part=part, **how
    )
    write_part(path, images_of(made, entries, part.start), video, part.start)
    write_json(report_of(path), [entry.to_json() for entry in entries])


def report_of(part: Path) -> Path:
    return part.with_suffix(".json")


def how_of(choice: Choice | None, tools: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """What `restore_video` takes."""
    embedder = None if choice is None else choice.embedder
    return tools | {"embedder": embedder, **asdict(PhotoOptions.of(vars(options)))}


def images_of(parts: Iterable[Composite], entries: list[FaceReport], first: int = 0) -> Iterator[Tensor]:
    """The images of a video's composites, which begin at `first`; what became of the faces is added to `entries`."""
    for part in parts:
        entries += [replace(entry, face=replace(entry.face, frame=entry.face.frame + first)) for entry in part.report]
        first += len(part.image)
        yield part.image

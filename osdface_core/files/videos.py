"""Videos on disk: read frame by frame, and written with the timing and the sound of the video they were made from."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from io import BytesIO
from itertools import chain
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ImageError
from ..libraries import library
from .atomic_write import atomic_write

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""The kinds of file that can be written, and what PyAV calls them."""

SUFFIXES = (*CONTAINERS, ".webm", ".avi")
"""The kinds of file that are taken for videos."""

COLOUR = ("colorspace", "color_primaries", "color_trc")
"""What a file says about its colours: the matrix between YUV and RGB, the primaries, the curve."""

QUALITY = {"crf": "16", "preset": "medium"}
"""x264's: hardly to be told from the original."""


class VideoFile:
    """A video to be read, as often as needed, upright."""

    def __init__(self, path: str | Path):
        """Raises ImageError where the file is missing, damaged, or no video."""
        self.path = Path(path)
        self.times: list[int] = []
        """When each frame that was read last time is shown, in the video's own unit."""
        self.deep = False
        """Whether it has more than 8 bits a channel."""
        with self.opened() as container:
            video = container.streams.video[0]
            self.rate, self.unit = video.average_rate, video.time_base
            self.frame_count = video.frames
            """As the file says; 0 where it does not."""
            self.colour = {name: getattr(video.codec_context, name) for name in COLOUR}

    @contextmanager
    def opened(self) -> Iterator[Any]:
        av = library("av")
        try:
            with av.open(str(self.path)) as container:
                if not container.streams.video:
                    raise ImageError(f"{self.path}: there is no video in it.")
                yield container
        except FileNotFoundError as error:
            raise ImageError(f"{self.path}: there is no such file. Check the path.") from error
        except (av.error.FFmpegError, UnicodeDecodeError) as error:
            raise ImageError(f"{self.path}: the video cannot be read ({error}). Is the file whole?") from error

    def frames(self, first: int = 0) -> Iterator[Tensor]:
        """The frames from `first` on, each [1,3,H,W] float32, 0..1. Raises ImageError where one cannot be read."""
        self.times = []
        with self.opened() as container:
            video = container.streams.video[0]
            video.thread_type = "AUTO"
            for frame in container.decode(video):
                self.deep = frame.format.components[0].bits > 8
                self.times.append(len(self.times) if frame.pts is None else frame.pts)
                if len(self.times) <= first:
                    continue
                turns = round(frame.rotation / 90)
                if not self.deep:
                    frame = frame.reformat(format="yuv444p")  # straight to RGB, 8 bits would come out darker
                values = frame.to_ndarray(format=self.kind, **self.matrix("src_colorspace"))
                values = np.rot90(values, turns)
                pixels = torch.from_numpy(values.astype(np.float32) / (65535 if self.deep else 255))
                yield pixels.permute(2, 0, 1)[None].contiguous()

    @property
    def kind(self) -> str:
        """What PyAV calls RGB with as many bits as the video has."""
        return "rgb48le" if self.deep else "rgb24"

    def matrix(self, name: str) -> dict[str, int]:
        """The matrix between its YUV and RGB, as the argument `name` of PyAV; nothing where the file does not say."""
        return {} if self.colour["colorspace"] in (0, 2) else {name: self.colour["colorspace"]}


def write_video(path: str | Path, frames: Iterator[Tensor], like: VideoFile) -> None:
    """Write `frames` [B,3,H,W], 0..1, as they come, whole or not at all: H.264, as many bits as the original has.

    like: the video they were made from, while it is read: its timing and its sound are kept.
    Raises ImageError where this kind of file is not written, or cannot hold the sound; OSError where the disk fails.
    """
    with new_video(Path(path), like) as (target, source):
        write_streams(target, source, frames, like)


@contextmanager
def new_video(path: Path, like: VideoFile) -> Iterator[tuple[Any, Any]]:
    """A video to write into, in place when it is whole, and the one it is made from. Raises as `write_video`."""
    av, kind = library("av"), container_of(path)
    options = {"movflags": "+faststart"} if kind != "matroska" else {}
    with (
        atomic_write(path) as partial,
        like.opened() as source,
        refused(path),
        av.open(str(partial), "w", format=kind, options=options) as target,
    ):
        yield target, source


def check_output(path: Path, like: VideoFile) -> None:
    """Raises ImageError where `write_video` could not: asked of the container, before any work."""
    av, kind = library("av"), container_of(path)
    with like.opened() as source, refused(path), av.open(BytesIO(), "w", format=kind) as target:
        video = target.add_stream("libx264", rate=like.rate)
        video.width, video.height, video.pix_fmt = 16, 16, "yuv420p"
        for stream in source.streams.audio:
            target.add_stream_from_template(stream)
        target.start_encoding()


def container_of(path: Path) -> str:
    """What PyAV calls the kind of file. Raises ImageError where it is not written."""
    if path.suffix.lower() not in CONTAINERS:
        raise ImageError(f"{path}: this kind of video is not written. Choose one of {', '.join(CONTAINERS)}.")
    return CONTAINERS[path.suffix.lower()]


@contextmanager
def refused(path: Path) -> Iterator[None]:
    """What PyAV raises within, as an ImageError, or as the disk's OSError."""
    av = library("av")
    try:
        yield
    except (av.error.FFmpegError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in (13, 28, 30):  # no permission, full, read-only
            raise OSError(error.errno, error.strerror) from error
        raise ImageError(
            f"{path}: the video cannot be written ({error}). If its sound does not fit into {path.suffix}, .mkv "
            "takes it."
        ) from error


def write_streams(target: Any, source: Any, frames: Iterator[Tensor], like: VideoFile) -> None:
    """The frames and the sound into an open file, side by side."""
    video = add_video(target, like)
    sound = Sound(target, source)
    for time, packets in encoded(video, frames, like):
        sound.copy_until(time * like.unit)
        target.mux(packets)
    sound.copy_until(inf)


def add_video(target: Any, like: VideoFile) -> Any:
    video = target.add_stream("libx264", rate=like.rate, options=QUALITY)
    video.codec_context.time_base = like.unit
    return video


def encoded(video: Any, frames: Iterator[Tensor], like: VideoFile, first: int = 0) -> Iterator[tuple[int, list[Any]]]:
    """When each frame is shown, and the packets that are ready by then. first: which of the video's is the first."""
    av, number = library("av"), first
    for image in chain.from_iterable(frames):
        if number == first:
            shape_stream(video, image.shape, like)
        levels = (image.permute(1, 2, 0).clamp(0, 1) * (65535 if like.deep else 255)).round().cpu().numpy()
        frame = av.VideoFrame.from_ndarray(levels.astype(np.uint16 if like.deep else np.uint8), format=like.kind)
        frame = frame.reformat(format=video.pix_fmt, **like.matrix("dst_colorspace"))
        frame.pts, frame.time_base = like.times[number], like.unit
        yield like.times[number], video.encode(frame)
        number += 1
    yield like.times[number - 1], video.encode()


class Sound:
    """The sound of a video, on its way into another."""

    def __init__(self, target: Any, source: Any):
        self.target = target
        self.streams = {stream.index: target.add_stream_from_template(stream) for stream in source.streams.audio}
        self.packets = source.demux(*source.streams.audio) if self.streams else iter(())
        self.next = next(self.packets, None)

    def copy_until(self, seconds: Fraction | float) -> None:
        """Copy what is heard up to then."""
        while self.next is not None and (self.next.dts is None or self.next.dts * self.next.time_base <= seconds):
            if self.next.dts is not None:
                self.next.stream = self.streams[self.next.stream.index]
                self.target.mux(self.next)
            self.next = next(self.packets, None)


def shape_stream(video: Any, shape: torch.Size, like: VideoFile) -> None:
    """Colour is kept at half the size, as in nearly all videos, where both sides are even."""
    video.height, video.width = shape[1:]
    layout = "yuv444p" if video.height % 2 or video.width % 2 else "yuv420p"
    video.pix_fmt = layout + ("10le" if like.deep else "")
    for name, value in like.colour.items():
        if value:  # 0 would be RGB
            setattr(video.codec_context, name, value)

"""A video in parts, each a file of its own, encoded once: they are joined packet by packet."""

from collections.abc import Iterator, Sequence
from math import inf
from pathlib import Path
from typing import Any

from torch import Tensor

from ..libraries import library
from .atomic_write import atomic_write
from .videos import Sound, VideoFile, add_video, encoded, new_video, refused

SUFFIX = ".mkv"
"""Of parts."""


def write_part(path: Path, frames: Iterator[Tensor], like: VideoFile, first: int) -> None:
    """Write `frames` [B,3,H,W], 0..1, which are those of a video from `first` on, as `write_video` does, without sound.

    like: the video they were made from, while it is read. Raises ImageError and OSError likewise.
    """
    av = library("av")
    with atomic_write(path) as partial, refused(path), av.open(str(partial), "w", format="matroska") as target:
        for _, packets in encoded(add_video(target, like), frames, like, first):
            target.mux(packets)


def join_parts(path: Path, parts: Sequence[Path], like: VideoFile, times: Sequence[int]) -> None:
    """Write the parts of a video, in their order, as one, whole or not at all, with the sound of `like`.

    times: when each frame is shown, as `like.times` has it: a part's own times are rounded.
    Raises ImageError and OSError as `write_video`.
    """
    shown = list(presentation(parts, times))
    decoded = decoding_times(shown)
    with new_video(path, like) as (target, source), library("av").open(str(parts[0])) as first:
        video = target.add_stream_from_template(first.streams.video[0])
        video.time_base = like.unit
        sound = Sound(target, source)
        packets = (packet for part in parts for packet in packets_of(part))
        for packet, pts, dts in zip(packets, shown, decoded, strict=True):
            sound.copy_until(pts * like.unit)
            packet.time_base, packet.pts, packet.dts, packet.duration, packet.stream = like.unit, pts, dts, 0, video
            target.mux(packet)
        sound.copy_until(inf)


def packets_of(part: Path) -> Iterator[Any]:
    """In the order in which they are decoded."""
    with library("av").open(str(part)) as container:
        yield from (packet for packet in container.demux(video=0) if packet.pts is not None)


def presentation(parts: Sequence[Path], times: Sequence[int]) -> Iterator[int]:
    """When the frame of each packet of all parts is shown."""
    first = 0
    for part in parts:
        own = [packet.pts for packet in packets_of(part)]
        order = {pts: number for number, pts in enumerate(sorted(own))}
        yield from (times[first + order[pts]] for pts in own)
        first += len(own)


def decoding_times(shown: Sequence[int]) -> list[int]:
    """When packets whose frames are shown then are decoded: one after the other, and none after it is shown."""
    ordered, delay = sorted(shown), 0
    for number, time in enumerate(shown):
        while number >= delay and ordered[number - delay] > time:
            delay += 1
    return [ordered[0] - count for count in range(delay, 0, -1)] + ordered[: len(ordered) - delay]

"""Faces followed through a video: one number a person, steady landmarks, short gaps filled.

The whole video is known, so every frame is judged from the frames on both sides of it: nothing lags behind.
"""

from collections.abc import Iterable
from dataclasses import replace
from itertools import chain, pairwise

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from ..faces import Face, Faces, check_image
from ..options import Video

REACH = 0.5
"""How far from where it is expected a face is looked for. Distances between faces are root mean squares over the
landmarks, as a share of the face's size."""
REST = 0.03
"""How far a face may be from where it is now for a frame still to tell about its place."""
JUMP, LONE = 0.08, 3.0
"""A cut changes the mean of the pixels' absolute differences by so much (0..1), and so many times more than the frames
before and after it change; a fast pan or a flash of light goes on for longer than one frame."""


def track_faces(
    faces: Faces, *, smoothing: float = Video.smoothing, max_gap: int = Video.max_gap, cuts: Iterable[int] = ()
) -> Faces:
    """Follow the faces of a video, whose frames `faces` were found in: `index` becomes one person's in all frames.

    Persons are numbered as they appear, in the detector's order within a frame. After a cut everyone is new. Faces that
    were left out before are not followed; their numbers come after those of all persons.

    smoothing: landmarks and boxes of a resting face are averaged over about so many frames to either side (the standard
        deviation of a Gaussian). The faster a face moves, the fewer they are; 0 leaves them as detected.
    max_gap: a face that was missed for so many frames at most is filled in between those that show it.
    cuts: the frames that begin a new scene, as `find_cuts` gives them. Nothing is carried over them.
    Raises OptionError for a smoothing or max_gap that does not lie between 0 and 1000.
    """
    Video(smoothing, max_gap).validate()
    tracks: list[list[Face]] = []
    for first, end in pairwise(sorted({0, *cuts, faces.frames})):
        tracks += follow([face for face in faces if first <= face.frame < end], max_gap)
    steady = (smooth(fill_gaps(track), smoothing) for track in tracks)
    numbered = [replace(face, index=index) for index, track in enumerate(steady) for face in track]
    skipped = tuple(
        replace(entry, face=replace(entry.face, index=len(tracks) + entry.face.index)) for entry in faces.skipped
    )
    in_order = tuple(sorted(numbered, key=lambda face: (face.frame, face.index)))
    return replace(faces, faces=in_order, skipped=skipped)


def follow(faces: Iterable[Face], max_gap: int) -> list[list[Face]]:
    """The faces of one scene, a list for every person, in the order in which they appear."""
    tracks: list[list[Face]] = []
    by_frame: dict[int, list[Face]] = {}
    for face in sorted(faces, key=lambda face: (face.frame, face.index)):
        by_frame.setdefault(face.frame, []).append(face)
    for frame, found in by_frame.items():
        waiting = [track for track in tracks if frame - track[-1].frame <= max_gap + 1]
        expected = [expect(track, frame) for track in waiting]
        pairs = [(distance(place, face), a, b) for a, place in enumerate(expected) for b, face in enumerate(found)]
        free = set(range(len(found)))
        for gap, a, b in sorted(pairs):
            if gap < REACH and b in free and waiting[a][-1].frame < frame:
                waiting[a].append(found[b])
                free.remove(b)
        tracks += [[found[b]] for b in sorted(free)]
    return tracks


def expect(track: list[Face], frame: int) -> Face:
    """Where a face should be in a later frame, if it goes on as it last moved."""
    last = track[-1]
    before = track[-2] if len(track) > 1 else last
    speed = (place_of(last) - place_of(before)) / max(last.frame - before.frame, 1)
    return placed(last, place_of(last) + speed * (frame - last.frame))


def distance(a: Face, b: Face) -> float:
    """How far apart two faces are, as a share of the second one's size."""
    apart = (place_of(a) - place_of(b))[4:].reshape(5, 2)
    return float(np.sqrt((apart**2).sum(1).mean()) / max(b.width, b.height, 1))


def fill_gaps(track: list[Face]) -> list[Face]:
    """The track with a face in every frame from its first to its last: those that were missed lie evenly between."""
    whole = track[:1]
    for before, after in pairwise(track):
        for frame in range(before.frame + 1, after.frame):
            share = (frame - before.frame) / (after.frame - before.frame)
            place = (1 - share) * place_of(before) + share * place_of(after)
            whole.append(replace(placed(before, place), frame=frame, score=min(before.score, after.score)))
        whole.append(after)
    return whole


def smooth(track: list[Face], smoothing: float) -> list[Face]:
    """The track, a face in every frame, with steady places: in every frame a line fitted to the frames around it.

    A line, so that even movement is kept as it is. Frames count less the further away they are in time, and the further
    away the face is in them: the window closes when a face speeds up. What is compared is a median of five frames, so
    that a single false detection does not count as movement.
    """
    reach = int(3 * smoothing)
    if not reach:
        return track
    places = np.array([place_of(face) for face in track])
    size = np.maximum(places[:, 2] - places[:, 0], places[:, 3] - places[:, 1]).clip(1)
    beyond = np.pad(places, ((2, 2), (0, 0)), mode="reflect", reflect_type="odd")  # goes on as it began
    steady = []
    for number, face in enumerate(track):
        first, end = max(number - reach, 0), number + reach + 1
        here = np.median(beyond[number : number + 5], axis=0)
        around = places[first:end]
        time = np.arange(first, first + len(around)) - number
        apart = ((around - here)[:, 4:] ** 2).sum(1) / 5 / (REST * size[number]) ** 2
        weight = np.exp(-((time / smoothing) ** 2 + apart - apart.min()) / 2)
        weight /= weight.sum()
        middle = weight @ time
        weight_of_slope = weight * (time - middle) / max(weight @ (time - middle) ** 2, 1e-9)
        steady.append(placed(face, (weight - middle * weight_of_slope) @ around))
    return steady


def place_of(face: Face) -> np.ndarray:
    """Box and landmarks as 14 numbers."""
    return np.array([*face.box, *(value for point in face.landmarks for value in point)])


def placed(face: Face, place: np.ndarray) -> Face:
    """The face at another place."""
    left, top, right, bottom, *points = (float(value) for value in place)
    return replace(face, box=(left, top, right, bottom), landmarks=tuple(zip(points[::2], points[1::2], strict=True)))


def thumbnails(image: Tensor) -> Tensor:
    """The frames [B,3,H,W] as small as `find_cuts` takes them, [B,3,24,32]."""
    check_image(image)
    return F.interpolate(image, (24, 32), mode="bilinear", antialias=True)


def find_cuts(thumbnails: Iterable[Tensor]) -> list[int]:
    """The frames that begin a new scene, from all frames' thumbnails [3,24,32], one after the other."""
    cuts: list[int] = []
    earlier = change = 0.0  # how much the frame before the last one changed, and the last one
    last = None
    for number, thumbnail in enumerate(chain(thumbnails, [None])):
        later = 0.0 if last is None or thumbnail is None else float((thumbnail - last).abs().mean())
        if change > JUMP and change > LONE * max(earlier, later):
            cuts.append(number - 1)
        earlier, change, last = change, later, thumbnail
    return cuts

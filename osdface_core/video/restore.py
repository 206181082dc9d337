"""Faces of a video restored frame after frame, with no more frames in memory than steadying looks at.

The frames are gone through twice: once to find the faces and follow them through the whole video, once to restore them.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from ..compositing.paste import Composite
from ..errors import ImageError
from ..faces import FaceCrops, Faces
from ..geometry.align import align_faces
from ..models.osdface import OSDFaceModel
from ..models.restorer import Restorer
from ..pipeline import restore_image
from .denoise import reach_of, steady_crops
from .track import find_cuts, thumbnails, track_faces

WINDOW = 8
"""How many frames are restored together, at least."""


def follow_faces(
    frames: Iterable[Tensor], detect: Callable[[Tensor], Faces], *, smoothing: float = 6.0, max_gap: int = 5
) -> Faces:
    """The faces of a whole video, followed from frame to frame as `track_faces` does.

    frames: one after the other, each [1,3,H,W], 0..1, all of one size.
    detect: finds the faces of one frame.
    Raises ImageError where there are no frames, or one has another size.
    """
    found: list[Faces] = []
    small: list[Tensor] = []
    for number, frame in enumerate(frames):
        own = detect(frame)
        if found and (own.height, own.width) != (found[0].height, found[0].width):
            raise ImageError(
                f"Frame {number} is {own.width}x{own.height}, those before it are {found[0].width}x{found[0].height}. "
                "All frames of a video must have one size."
            )
        found.append(own)
        small.append(thumbnails(frame).cpu())
    if not found:
        raise ImageError("There are no frames in this video.")
    faces = tuple(replace(face, frame=number) for number, own in enumerate(found) for face in own)
    gone = (replace(entry, face=replace(entry.face, frame=n)) for n, own in enumerate(found) for entry in own.left_out)
    whole = Faces(faces, len(found), found[0].height, found[0].width, tuple(gone))
    return track_faces(whole, smoothing=smoothing, max_gap=max_gap, cuts=find_cuts(torch.cat(small)))


def restore_video(
    frames: Iterable[Tensor],
    faces: Faces,
    model: OSDFaceModel | Restorer,
    *,
    steady: float = 4.0,
    choose: Callable[[FaceCrops], FaceCrops] | None = None,
    **options: Any,
) -> Iterator[Composite]:
    """Restore the faces of a video: composites of a few frames each, in order, that number their frames from 0.

    frames: the frames that `faces` were followed through, one after the other, each [1,3,H,W].
    steady: the smoothing that `steady_crops` takes out a video's noise with; 0 leaves it.
    choose: takes aligned crops and gives those to restore.
    options: what else `restore_image` takes.
    Raises ImageError where there are other frames than the faces were found in.
    """
    reach, coming, first = reach_of(steady), iter(frames), 0
    known: list[Tensor] = []  # the frames from `first - before` on
    before = 0
    while first < faces.frames:
        wanted = before + WINDOW + reach
        known += islice(coming, wanted - len(known))
        count = min(WINDOW, faces.frames - first, len(known) - before)
        if count < 1:
            raise ImageError(f"The video ended after {first} of {faces.frames} frames. Was its file changed meanwhile?")
        around = torch.cat(known)

        def steadied(crops: FaceCrops, around: Tensor = around, first: int = first, before: int = before) -> FaceCrops:
            if reach and len(crops):
                seen = align_faces(around, faces.between(first - before, first - before + len(around)), crops.size)
                wanted = [n for n, face in enumerate(seen.faces) if before <= face.frame < before + crops.faces.frames]
                crops = crops.with_images(steady_crops(seen, smoothing=steady).take(wanted).images)
            return crops if choose is None else choose(crops)

        photo = around[before : before + count]
        own = faces.between(first, first + count)
        yield restore_image(photo, model, faces=own, choose=steadied, **options)
        first, before = first + count, before + count
        known, before = known[max(before - reach, 0) :], min(before, reach)

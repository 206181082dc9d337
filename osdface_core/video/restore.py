"""Faces of a video restored frame after frame, with no more frames in memory than steadying looks at.

The frames are gone through twice: once to find the faces and follow them through the whole video, once to restore them.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice, pairwise
from typing import Any

import torch
from torch import Tensor

from ..compositing.paste import Composite
from ..errors import ImageError, OptionError
from ..faces import Face, FaceCrops, Faces
from ..geometry.align import align_faces
from ..inference.restorer import as_restorer
from ..models.diffusion import OneStepModel
from ..models.restorer import Restorer
from ..options import Align, Detect, PhotoOptions, Video
from ..pipeline import joined, restore_and_match, restore_image, within_limits
from ..recognition.embedders import Embedder
from ..recognition.identity import check_identity, too_different
from .choose import limit_tracks, medians, spread, vote
from .denoise import reach_of, steady_crops
from .track import find_cuts, thumbnails, track_faces

WINDOW = 8
"""How many frames are restored together, at least."""
SAMPLES = 5
"""By how many frames it is judged whether a person stays the same."""


def follow_faces(
    frames: Iterable[Tensor],
    detect: Callable[[Tensor], Faces],
    *,
    smoothing: float = Video.smoothing,
    max_gap: int = Video.max_gap,
    limits: Detect = Detect(),  # noqa: B008 (frozen)
    choose: Callable[[FaceCrops], FaceCrops] | None = None,
    crop_size: int = Align.size,
) -> Faces:
    """The faces of a whole video, followed from frame to frame as `track_faces` does.

    frames: one after the other, each [1,3,H,W], 0..1, all of one size.
    detect: finds the faces of one frame, of whatever size.
    limits: of size and number, for people as `limit_tracks` has it.
    choose: takes the crops of those faces of a frame that lie within the limits, of `crop_size` pixels a side, and
        gives those to restore. A person is left out in all frames where it does not choose him in most of them.
    Raises ImageError where there are no frames, or one has another size.
    """
    found: list[Faces] = []
    said: list[dict[Face, str]] = []

    def seen() -> Iterator[Tensor]:
        """Look at the frames one after the other; of each, a thumbnail is left."""
        for number, frame in enumerate(frames):
            own = detect(frame)
            if found and (own.height, own.width) != (found[0].height, found[0].width):
                raise ImageError(
                    f"Frame {number} is {own.width}x{own.height}, those before it are "
                    f"{found[0].width}x{found[0].height}. All frames of a video must have one size."
                )
            if choose is not None:
                asked = within_limits(own, limits)
                kept = choose(align_faces(frame, asked, crop_size)).faces
                reasons = {entry.face: entry.reason for entry in kept.skipped}
                said.append({face: reasons.get(face, "") for face in asked})
            found.append(own)
            yield thumbnails(frame)[0].cpu()

    cuts = find_cuts(seen())
    if not found:
        raise ImageError("There are no frames in this video.")
    faces = tuple(replace(face, frame=number) for number, own in enumerate(found) for face in own)
    gone = (replace(entry, face=replace(entry.face, frame=n)) for n, own in enumerate(found) for entry in own.skipped)
    whole = Faces(faces, len(found), found[0].height, found[0].width, tuple(gone))
    tracked = track_faces(whole, smoothing=smoothing, max_gap=max_gap, cuts=cuts)
    tracked = limit_tracks(tracked, limits)
    return vote(tracked, said) if choose is not None else tracked


@torch.no_grad()
def keep_people(
    frames: Iterable[Tensor],
    faces: Faces,
    model: OneStepModel | Restorer,
    embedder: Embedder,
    options: PhotoOptions,
) -> Faces:
    """The tracked faces without the people who become somebody else, by `options.min_identity`.

    A person's identity is the median of a few frames, spread evenly over those that show them and restored for this.

    frames: the frames that `faces` were followed through, one after the other, each [1,3,H,W].
    """
    restorer = as_restorer(model)
    samples = faces.keep(spread(faces, SAMPLES), "")
    identity: dict[Face, float] = {}
    for number, frame in enumerate(frames):
        own = samples.between(number, number + 1)
        before = align_faces(frame, own, restorer.crop_size)
        measured = check_identity(embedder, before, restore_and_match(before, restorer, options))
        measured_faces = zip(measured.faces, measured.identity or (), strict=True)
        identity |= {replace(face, frame=number): value for face, value in measured_faces}
    for index, value in medians(faces, identity).items():
        if value < options.min_identity:
            faces = faces.keep([f for f in faces if f.index != index], too_different(value, options.min_identity))
    return faces


def restore_video(
    frames: Iterable[Tensor],
    faces: Faces,
    model: OneStepModel | Restorer,
    *,
    steady: float = Video.steady,
    tolerance: float = Video.tolerance,
    part: range | None = None,
    **options: Any,
) -> Iterator[Composite]:
    """Restore the faces of a video: composites of a few frames each, in order, that number their frames from 0.

    frames: the frames that `faces` were followed through, one after the other, each [1,3,H,W].
    part: only these frames of it, with the same pixels as all at once where it begins at a multiple of WINDOW, as
        `divide` has it; `frames` begin at `first_needed`, to be steadied by those before the part.
    steady, tolerance: the smoothing that `steady_crops` takes out a video's noise with, 0 to leave it; and how much
        may change.
    options: what else `restore_image` takes.
    Raises ImageError where there are other frames than the faces were found in, and OptionError for a `min_identity`:
    it would be another's in every frame; `keep_people` decides it for people.
    """
    if options.get("min_identity", 0) > 0:
        problem = "in a video it is decided for people, not for frames: leave people out with keep_people"
        raise OptionError("min_identity", options["min_identity"], problem)
    restorer, reach, coming = as_restorer(model), reach_of(steady), iter(frames)
    part = part or range(faces.frames)
    first, before = part.start, part.start - first_needed(part, steady)
    known: list[Tensor] = []  # the frames from `first - before` on
    cut: list[FaceCrops] = []  # their crops
    while first < part.stop:
        for frame in islice(coming, before + WINDOW + reach - len(known)):
            number = first - before + len(known)
            known.append(frame)
            cut.append(align_faces(frame, faces.between(number, number + 1), restorer.crop_size))
        end = before + min(WINDOW, part.stop - first, len(known) - before)
        if end <= before:
            raise ImageError(f"The video ended after {first} of {faces.frames} frames. Was its file changed meanwhile?")
        crops = joined(cut[before:end])
        if reach and len(crops):
            steadied = steady_crops(joined(cut), smoothing=steady, tolerance=tolerance)
            wanted = [n for n, face in enumerate(steadied.faces) if before <= face.frame < end]
            crops = crops.with_images(steadied.images[wanted])
        yield restore_image(torch.cat(known[before:end]), restorer, crops=crops, **options)
        first, forgotten = first + end - before, max(end - reach, 0)
        known, cut, before = known[forgotten:], cut[forgotten:], end - forgotten


def divide(frames: int, count: int) -> list[range]:
    """A video of so many frames in up to so many parts of like length, each of which can be restored by itself."""
    windows = -(-frames // WINDOW)
    ends = [min(windows * number // count * WINDOW, frames) for number in range(count + 1)]
    return [range(first, end) for first, end in pairwise(ends) if first < end]


def first_needed(part: range, steady: float) -> int:
    """The first frame that is looked at to restore a part of a video."""
    return max(part.start - reach_of(steady), 0)

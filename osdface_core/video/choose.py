"""Choices of a video's faces that hold for a person, not for a frame: all of a track is restored, or none of it."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from statistics import median

from ..faces import Face, Faces
from ..options import Choose, Detect
from ..selection.select import NOT_SELECTED, RULES, select_by_index, too_large, too_many, too_small
from .track import REACH, distance


def limit_tracks(faces: Faces, limits: Detect) -> Faces:
    """The tracked faces of people who are neither too small nor too large, by the median of their sizes.

    Of these people, those who are among the `max_count` largest on screen, as `select_tracks` compares them.
    """
    sizes = medians(faces, {face: face.size for face in faces})
    kept = faces.keep((face for face in faces if sizes[face.index] >= limits.min_size), too_small(limits.min_size))
    kept = kept.keep((face for face in kept if sizes[face.index] <= limits.max_size), too_large(limits.max_size))
    if limits.max_count is None:
        return kept
    return kept.keep(select_tracks(kept, "largest", limits.max_count), too_many(limits.max_count))


def spread(faces: Faces, count: int) -> list[Face]:
    """So many faces of every tracked person, or all there are, evenly from the first to the last."""
    of_person: defaultdict[int, list[Face]] = defaultdict(list)
    for face in faces:
        of_person[face.index].append(face)
    return [
        own[(2 * n + 1) * len(own) // (2 * min(count, len(own)))]
        for own in of_person.values()
        for n in range(min(count, len(own)))
    ]


def medians(faces: Faces, values: Mapping[Face, float]) -> dict[int, float]:
    """What is halfway among the values of each person, by the person's number. Faces without a value have no part."""
    of_person: defaultdict[int, list[float]] = defaultdict(list)
    for face in faces:
        if face in values:
            of_person[face.index].append(values[face])
    return {index: median(own) for index, own in of_person.items()}


def select_tracks(faces: Faces, choice: str, count: int = Choose.count) -> Faces:
    """The tracked faces of some people: by their numbers, or the first `count` of those on screen under a rule.

    By a rule, people are compared by its mean over their frames. One is taken where, in at least half of his frames,
    fewer than `count` of those before him are. Raises ImageError where `choice` is neither numbers nor a rule.
    """
    if choice not in RULES:
        return select_by_index(faces, choice)[0]
    tracks: defaultdict[int, list[Face]] = defaultdict(list)
    for face in faces:
        tracks[face.index].append(face)
    means = {index: sum(RULES[choice](face, faces) for face in own) / len(own) for index, own in tracks.items()}
    taken: Counter[int] = Counter()
    chosen: set[int] = set()
    for index in sorted(tracks, key=lambda index: (means[index], index)):
        frames = [face.frame for face in tracks[index]]
        if 2 * sum(taken[frame] < count for frame in frames) >= len(frames) and count:
            chosen.add(index)
            taken.update(frames)
    return faces.keep((face for face in faces if face.index in chosen), NOT_SELECTED)


def vote(tracked: Faces, said: Sequence[dict[Face, str]]) -> Faces:
    """The tracked faces without the people whom most of their frames speak against.

    said: of every frame, what was said of each face detected there: why it is not to be restored, empty where it is.
    """
    votes: defaultdict[int, list[str]] = defaultdict(list)
    for face in tracked:
        own = said[face.frame]
        nearest = min(own, key=lambda seen: distance(seen, face), default=None)
        if nearest is not None and distance(nearest, face) < REACH:
            votes[face.index].append(own[nearest])
    for index, reasons in votes.items():
        against = [reason for reason in reasons if reason]
        if 2 * len(against) > len(reasons):
            tracked = tracked.keep([face for face in tracked if face.index != index], against[len(against) // 2])
    return tracked

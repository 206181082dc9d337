"""Choices of a video's faces that hold for a person, not for a frame: all of a track is restored, or none of it."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from ..faces import Face, Faces
from ..options import Choose
from ..selection.select import NOT_SELECTED, RULES, select_by_index
from .track import REACH, distance


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

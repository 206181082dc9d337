"""Choose faces: by a rule and a number, or by the numbers the user sees."""

from collections.abc import Callable, Iterable

from .errors import ImageError
from .faces import Face, Faces

NOT_SELECTED = "not selected"


def area(face: Face) -> float:
    return face.width * face.height


def from_centre(face: Face, faces: Faces) -> float:
    x, y = (face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2
    return (x - faces.width / 2) ** 2 + (y - faces.height / 2) ** 2


RULES: dict[str, Callable[[Face, Faces], float]] = {
    "largest": lambda face, faces: -area(face),
    "smallest": lambda face, faces: area(face),
    "leftmost": lambda face, faces: face.box[0],
    "rightmost": lambda face, faces: -face.box[2],
    "topmost": lambda face, faces: face.box[1],
    "bottommost": lambda face, faces: -face.box[3],
    "most central": from_centre,
    "best score": lambda face, faces: -face.score,
}
"""Which faces come first under each rule."""


def select_by_rule(faces: Faces, rule: str, count: int = 1) -> tuple[Faces, Faces]:
    """The first `count` faces of every frame under a rule, and the rest; both in their old order.

    Raises ImageError for a rule there is not.
    """
    if rule not in RULES:
        raise ImageError(f"There is no rule {rule!r}. Choose one of {', '.join(RULES)}.")
    kept: list[Face] = []
    for frame in range(faces.frames):
        own = [face for face in faces if face.frame == frame]
        kept += sorted(own, key=lambda face: (RULES[rule](face, faces), face.index))[:count]
    return divide(faces, kept)


def select_by_index(faces: Faces, indices: str) -> tuple[Faces, Faces]:
    """The faces with these numbers in every frame, and the rest. `indices`: "0, 2" or "1-3"; empty chooses none.

    Raises ImageError where it is not a list of numbers. Numbers no face has are allowed: frames differ.
    """
    ranges: list[tuple[int, int]] = []
    for part in indices.replace(";", ",").split(","):
        first, _, last = (text.strip() for text in part.partition("-"))
        if not first and not last:
            continue
        if not first.isdecimal() or (last and not last.isdecimal()):
            raise ImageError(f"{part.strip()!r} is not a face's number. Write them like 0, 2 or 1-3.")
        ranges.append((int(first), int(last or first)))
        if ranges[-1][0] > ranges[-1][1]:
            raise ImageError(f"{part.strip()!r} goes backwards. Write the smaller number first.")
    return divide(faces, [face for face in faces if any(low <= face.index <= high for low, high in ranges)])


def divide(faces: Faces, kept: Iterable[Face]) -> tuple[Faces, Faces]:
    chosen = set(kept)
    kept, rest = ([face for face in faces if (face in chosen) is wanted] for wanted in (True, False))
    return faces.keep(kept, NOT_SELECTED), faces.keep(rest, NOT_SELECTED)

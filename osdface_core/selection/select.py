"""Choose faces: by a rule, by the numbers the user sees, by limits, by sharpness, or by whose face it is.

Every choice gives those that are kept, and the rest.
"""

from collections.abc import Callable, Iterable, Sequence

from ..errors import ImageError
from ..faces import Face, FaceCrops, Faces
from ..options import SHARP, Choose, Detect

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


def select_by_rule(faces: Faces, rule: str, count: int = Choose.count) -> tuple[Faces, Faces]:
    """The first `count` faces of every frame under a rule, and the rest; both in their old order.

    Raises ImageError for a rule there is not.
    """
    if rule not in RULES:
        raise ImageError(f"There is no rule {rule!r}. Choose one of {', '.join(RULES)}.")
    kept: list[Face] = []
    for frame in {face.frame for face in faces}:
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
            raise ImageError(
                f"{part.strip()!r} is not a face's number, nor a rule. Write numbers like 0, 2 or 1-3; the rules are "
                f"{', '.join(RULES)}."
            )
        ranges.append((int(first), int(last or first)))
        if ranges[-1][0] > ranges[-1][1]:
            raise ImageError(f"{part.strip()!r} goes backwards. Write the smaller number first.")
    return divide(faces, [face for face in faces if any(low <= face.index <= high for low, high in ranges)])


def select_faces(faces: Faces, choice: str, count: int = Choose.count) -> tuple[Faces, Faces]:
    """By a rule or by numbers, whichever `choice` is. Raises ImageError where it is neither."""
    return select_by_rule(faces, choice, count) if choice in RULES else select_by_index(faces, choice)


def select_by_limits(
    faces: Faces,
    *,
    min_size: float = Detect.min_size,
    max_size: float = Detect.max_size,
    min_score: float = 0,
    max_count: int | None = Detect.max_count,
) -> tuple[Faces, Faces]:
    """The faces within limits, and the rest.

    Sizes are of the longer side of the box, in pixels. max_count: the largest so many of every frame are kept.
    """
    kept = faces.keep((face for face in faces if face.size >= min_size), too_small(min_size))
    kept = kept.keep((face for face in kept if face.size <= max_size), too_large(max_size))
    kept = kept.keep((face for face in kept if face.score >= min_score), f"score below {min_score:g}")
    if max_count is not None:
        largest, _ = select_by_rule(kept, "largest", max_count)
        kept = kept.keep(largest, too_many(max_count))
    return kept, rest_of(faces, kept)


def too_small(size: float) -> str:
    return f"smaller than {size:g} px"


def too_large(size: float) -> str:
    return f"larger than {size:g} px"


def too_many(count: int) -> str:
    return f"not among the {count} largest"


def select_blurred(crops: FaceCrops, sharpness: Sequence[float], limit: float = SHARP) -> tuple[FaceCrops, FaceCrops]:
    """The crops whose sharpness (`sharpness.sharpness`) is below the limit, which are worth restoring, and the rest."""
    return divide_crops(crops, {n: f"sharp already ({v:.2f})" for n, v in enumerate(sharpness) if v >= limit})


def select_person(
    crops: FaceCrops, likeness: Sequence[float], min_identity: float = Choose.likeness, count: int = 0
) -> tuple[FaceCrops, FaceCrops]:
    """The crops that show a person, and the rest.

    likeness: of every crop to that person (`identity.identity_similarity`), -1..1. min_identity: the lowest to accept.
    count: how many faces of every frame to keep at most, the most alike first; 0 for all.
    """
    reasons = {n: f"likeness {v:.2f} is below {min_identity:.2f}" for n, v in enumerate(likeness) if v < min_identity}
    for frame in {face.frame for face in crops.faces} if count else ():
        own = [n for n, face in enumerate(crops.faces) if face.frame == frame and n not in reasons]
        reasons |= dict.fromkeys(sorted(own, key=lambda n: -likeness[n])[count:], "others are more alike")
    return divide_crops(crops, reasons)


def rest_of(faces: Faces, kept: Faces) -> Faces:
    """The faces that a choice, or several in a row, did not keep."""
    chosen = set(kept)
    return faces.keep((face for face in faces if face not in chosen), NOT_SELECTED)


def divide(faces: Faces, kept: Iterable[Face]) -> tuple[Faces, Faces]:
    chosen = set(kept)
    result = faces.keep((face for face in faces if face in chosen), NOT_SELECTED)
    return result, rest_of(faces, result)


def divide_crops(crops: FaceCrops, reasons: dict[int, str]) -> tuple[FaceCrops, FaceCrops]:
    """The crops without a reason to leave them out, and the others."""
    return crops.without(reasons), crops.without({n: NOT_SELECTED for n in range(len(crops)) if n not in reasons})

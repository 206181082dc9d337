"""Choosing faces."""

import pytest
from conftest import face_at

from osdface_core import Faces, ImageError
from osdface_core.select import RULES, select_by_index, select_by_rule

SCENE = Faces(
    (
        face_at(30, 40, 20, index=0),
        face_at(100, 50, 60, index=1),
        face_at(170, 90, 40, index=2),
        face_at(60, 60, 30, index=0, frame=1),
    ),
    3,
    100,
    200,
)


def numbers(faces):
    return [(face.frame, face.index) for face in faces]


@pytest.mark.parametrize(
    ("rule", "first"),
    [("largest", 1), ("smallest", 0), ("leftmost", 0), ("rightmost", 2), ("bottommost", 2), ("most central", 1)],
)
def test_each_rule_keeps_its_face_of_every_frame(rule, first):
    kept, rest = select_by_rule(SCENE, rule)
    assert numbers(kept) == [(0, first), (1, 0)]
    assert sorted(numbers(kept) + numbers(rest)) == numbers(SCENE)
    assert (kept.frames, kept.height, kept.width) == (3, 100, 200)


def test_a_count_keeps_the_first_few_in_their_old_order():
    kept, rest = select_by_rule(SCENE, "smallest", 2)
    assert numbers(kept) == [(0, 0), (0, 2), (1, 0)]
    assert numbers(rest) == [(0, 1)]
    assert numbers(select_by_rule(SCENE, "smallest", 99)[0]) == numbers(SCENE)
    assert len(select_by_rule(SCENE, "smallest", 0)[0]) == 0


@pytest.mark.parametrize(
    ("indices", "kept"),
    [("0", [(0, 0), (1, 0)]), ("1, 2", [(0, 1), (0, 2)]), ("1-7", [(0, 1), (0, 2)]), ("", []), ("9", [])],
)
def test_numbers_choose_the_faces_that_carry_them(indices, kept):
    assert numbers(select_by_index(SCENE, indices)[0]) == kept


@pytest.mark.parametrize("indices", ["first", "1.5", "2-x"])
def test_what_is_no_number_is_named(indices):
    with pytest.raises(ImageError, match="not a face's number"):
        select_by_index(SCENE, indices)


def test_a_range_may_be_wide_but_not_backwards():
    assert numbers(select_by_index(SCENE, "1-9999999999999")[0]) == [(0, 1), (0, 2)]
    with pytest.raises(ImageError, match="goes backwards"):
        select_by_index(SCENE, "3-1")


def test_an_unknown_rule_is_named_with_those_there_are():
    with pytest.raises(ImageError, match=f"prettiest.*{next(iter(RULES))}"):
        select_by_rule(SCENE, "prettiest")

"""Choosing faces."""

from dataclasses import replace

import pytest
import torch
from conftest import face_at

from osdface_core import Faces, ImageError, align_faces, paste_faces
from osdface_core.selection.select import (
    RULES,
    select_blurred,
    select_by_index,
    select_by_limits,
    select_by_rule,
    select_faces,
    select_person,
)

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


def reasons(faces):
    return {(entry.face.frame, entry.face.index): entry.reason for entry in faces.skipped}


def test_limits_of_size_and_score_say_which_one_it_was():
    unsure = face_at(20, 20, 40, index=3)
    scene = replace(SCENE, faces=(*SCENE.faces, replace(unsure, score=0.5)))
    kept, rest = select_by_limits(scene, min_size=15, max_size=30, min_score=0.9)
    assert numbers(kept) == [(0, 2), (1, 0)]
    assert numbers(rest) == [(0, 0), (0, 1), (0, 3)]
    assert reasons(kept) == {
        (0, 0): "smaller than 15 px",
        (0, 1): "larger than 30 px",
        (0, 3): "score below 0.9",
    }
    assert numbers(select_by_limits(scene)[0]) == numbers(scene)


def test_a_choice_is_a_rule_or_numbers():
    assert numbers(select_faces(SCENE, "smallest", 2)[0]) == [(0, 0), (0, 2), (1, 0)]
    assert numbers(select_faces(SCENE, "1-2")[0]) == [(0, 1), (0, 2)]
    with pytest.raises(ImageError, match=r"not a face's number, nor a rule.*largest"):
        select_faces(SCENE, "prettiest")


def test_every_choice_reports_what_it_puts_aside():
    kept, rest = select_by_rule(SCENE, "largest")
    assert reasons(kept) == dict.fromkeys([(0, 0), (0, 2)], "not selected")
    assert reasons(rest) == dict.fromkeys([(0, 1), (1, 0)], "not selected")


@pytest.fixture
def crops():
    return align_faces(torch.rand(3, 3, 100, 200, generator=torch.Generator().manual_seed(0)), SCENE, 64)


def test_faces_at_the_limit_are_sharp_already(crops):
    kept, rest = select_blurred(crops, [0.2, 0.55, 0.9, 0.549])
    assert numbers(kept.faces) == [(0, 0), (1, 0)]
    assert numbers(rest.faces) == [(0, 1), (0, 2)]
    assert torch.equal(kept.images, crops.images[[0, 3]])
    assert torch.equal(rest.to_crop, crops.to_crop[[1, 2]])
    assert reasons(kept.faces) == {(0, 1): "sharp already (0.55)", (0, 2): "sharp already (0.90)"}


def test_a_person_is_those_alike_enough_and_the_most_alike_first(crops):
    kept, rest = select_person(crops, [0.4, 0.1, 0.7, 0.3])
    assert numbers(kept.faces) == [(0, 0), (0, 2), (1, 0)]
    assert numbers(rest.faces) == [(0, 1)]
    kept, _ = select_person(crops, [0.4, 0.1, 0.7, 0.3], count=1)
    assert numbers(kept.faces) == [(0, 2), (1, 0)]
    assert reasons(kept.faces) == {(0, 1): "likeness 0.10 is below 0.30", (0, 0): "others are more alike"}
    assert len(select_person(crops, [0.1] * 4)[0]) == 0


def test_choosing_nobody_restores_nobody(crops):
    image = torch.rand(3, 3, 100, 200)
    nobody, _ = select_person(crops, [0.0] * 4)
    assert paste_faces(image, nobody).image is image

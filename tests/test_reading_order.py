"""Faces numbered as a person reads them: rows from the top, each from left to right."""

import json
from dataclasses import replace
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from conftest import face_at

from osdface_core import Face
from osdface_core.detection.reading_order import number_in_reading_order


def places(faces):
    """Where each face is, in the order of its number, whatever order the faces came in."""
    numbered = number_in_reading_order(faces)
    assert [face.index for face in numbered] == list(range(len(numbered)))
    for seed in range(3):
        shuffled = list(faces)
        Random(seed).shuffle(shuffled)
        assert number_in_reading_order(shuffled) == numbered
    return [(face.box[0] + face.box[2], face.box[1] + face.box[3]) for face in numbered]


def turned(face, degrees):
    """The face where it is once its photo is turned about the corner."""
    angle = np.radians(degrees)
    x, y = (face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2
    x, y = x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)
    half = face.width / 2, face.height / 2
    return replace(face, box=tuple(map(float, (x - half[0], y - half[1], x + half[0], y + half[1]))))


@pytest.fixture(scope="module", params=[0, 1], ids=["original size", "another size"])
def group(request, shared):
    """The 29 faces of a group of three rows, as facexlib finds them."""
    golden = json.loads((shared / "golden" / "detect" / "group_solvay1927.jpg.json").read_text(encoding="utf-8"))
    found = golden["runs"][request.param]["faces"]
    return [Face(0, 0, tuple(f["box"]), f["score"], tuple(map(tuple, f["landmarks"]))) for f in found]


def test_rows_go_from_left_to_right_whatever_order_faces_come_in():
    first_row = [face_at(x, 100 + wobble, 90) for x, wobble in ((50, 8), (200, -8), (350, 3))]
    second_row = [face_at(x, 220, 90) for x in (20, 120)]
    expected = first_row + second_row
    assert [face.box for face in number_in_reading_order(expected)] == [face.box for face in expected]
    assert len(places(expected)) == 5


def test_a_group_is_read_in_its_three_rows_though_heads_rise_above_them(group):
    """The back row is as wavy as the two others are apart."""
    found = places(group)
    rows = found[:11], found[11:20], found[20:]
    for row in rows:
        assert all(a[0] < b[0] for a, b in pairwise(row))
    middles = [np.mean([y for _, y in row]) for row in rows]
    assert middles == sorted(middles)
    assert max(y for _, y in rows[0]) < min(y for _, y in rows[1])
    assert max(y for _, y in rows[1]) < min(y for _, y in rows[2])


@pytest.mark.parametrize("degrees", [-15, -10, -4, 4, 10, 15])
def test_a_photo_at_an_angle_is_read_as_if_it_were_straight(group, degrees):
    straight = [face.score for face in number_in_reading_order(group)]
    assert [face.score for face in number_in_reading_order([turned(face, degrees) for face in group])] == straight


def test_a_face_that_trembles_from_frame_to_frame_keeps_its_number(group):
    scores = [face.score for face in number_in_reading_order(group)]
    draw = Random(0)
    for _ in range(5):
        moved = []
        for face in group:
            x, y = draw.gauss(0, 2), draw.gauss(0, 2)
            left, top, right, bottom = face.box
            moved.append(replace(face, box=(left + x, top + y, right + x, bottom + y)))
        assert [face.score for face in number_in_reading_order(moved)] == scores


@pytest.mark.parametrize("slope", [-0.17, 0, 0.17])
def test_a_single_row_is_one_row_straight_or_tilted(slope):
    row = [face_at(60 + 100 * n, 200 + 100 * n * slope + (-1) ** n * 8, 90) for n in range(9)]
    found = places(row)
    assert found == sorted(found)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((50, 90), (150, 60)),
        ((50, 60), (150, 90)),
        ((160, 50), (50, 300)),
        ((60, 50), (50, 110)),
        ((50, 50), (50, 130)),
    ],
    ids=["beside, higher", "beside, lower", "far below", "just below", "straight below"],
)
def test_of_two_faces_the_left_one_is_first_unless_one_is_below(first, second):
    assert places([face_at(*first, 90), face_at(*second, 90)])[0] == pytest.approx((2 * first[0], 2 * first[1]))


def test_large_faces_in_front_of_small_ones_are_a_row_of_their_own():
    back = [face_at(40 + 60 * n, 60 + (-1) ** n * 6, 50) for n in range(8)]
    front = [face_at(90 + 150 * n, 150 + (-1) ** n * 15, 130) for n in range(3)]
    found = places(back + front)
    assert [y < 200 for _, y in found] == [True] * 8 + [False] * 3


def test_faces_in_one_place_are_told_apart_by_score_and_none_is_none():
    twice = [replace(face_at(50, 50, 40), score=score) for score in (0.5, 0.9, 0.7)]
    assert [face.score for face in number_in_reading_order(twice)] == [0.9, 0.7, 0.5]
    assert number_in_reading_order([]) == ()

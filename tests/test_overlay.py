"""The numbered overlay."""

import pytest
import torch
from conftest import face_at

from osdface_core import Face, Faces
from osdface_core.detection.overlay import draw_numbers


def test_each_face_gets_a_box_and_its_own_number_in_its_own_frame():
    image = torch.full((2, 3, 200, 300), 0.5)
    faces = Faces((face_at(80, 120, 90, index=0), face_at(220, 120, 90, index=1)), 2, 200, 300)
    drawn = draw_numbers(image, faces)
    assert torch.equal(drawn[1], image[1])
    assert torch.equal(image, torch.full_like(image, 0.5))
    for face in faces:
        left, top, right, bottom = (round(value) for value in face.box)
        assert (drawn[0, :, bottom, left:right] != 0.5).all()
        assert (drawn[0, :, top : bottom + 1, left] != 0.5).all()
    first, second = (
        drawn[0, :, :88, slice(int(x), int(x) + 50)] for x in (faces.faces[0].box[0], faces.faces[1].box[0])
    )
    assert (first != 0.5).any()
    assert not torch.equal(first, second)


def test_a_number_stays_in_the_picture_and_dots_can_be_seen():
    face = Face(0, 7, (20.0, -40.0, 80.0, 50.0), 0.9, face_at(50, 30, 60).landmarks)
    drawn = draw_numbers(torch.full((1, 3, 100, 100), 0.5), Faces((face,), 1, 100, 100))[0]
    assert (drawn[:, :30, 20:50] != 0.5).any()
    for x, y in face.landmarks:
        assert (drawn[:, round(y) - 1 : round(y) + 2, round(x)] != 0.5).all()


INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    "box", [(50, 60, 10, 20), (-INF, -INF, INF, INF), (INF, INF, INF, INF), (-1e9, -1e9, 1e9, 1e9), (NAN, 0, 9, 9)]
)
def test_odd_boxes_harm_nothing(box):
    image = torch.full((1, 3, 64, 64), 0.5)
    drawn = draw_numbers(image, Faces((Face(0, 0, box, 0.9, ((NAN, 1e300),) * 5),), 1, 64, 64))
    assert drawn.shape == image.shape
    assert drawn.isfinite().all()

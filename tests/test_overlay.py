"""The numbered overlay."""

import torch
from conftest import face_at

from osdface_core import Faces
from osdface_core.overlay import draw_numbers


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

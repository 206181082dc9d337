"""The values: exact through JSON, faces numbered as a reader would, bad input named."""

import json
from dataclasses import replace

import pytest
import torch
from conftest import face_at

from osdface_core import Composite, Face, FaceCrops, FaceReport, Faces, ImageError, Prompts
from osdface_core.faces import check_image


def through_json(value):
    return type(value).from_json(json.loads(json.dumps(value.to_json())))


def test_faces_survive_json():
    faces = Faces((face_at(40.1, 50.2, 30, index=0), face_at(1 / 3, 9, 7.7, frame=1, index=1)), 2, 100, 200)
    assert through_json(faces) == faces
    assert through_json(faces.faces[0]) == faces.faces[0]
    fewer = through_json(faces.keep(faces.faces[:1], "too small"))
    assert fewer.skipped == (FaceReport(faces.faces[1], False, "too small"),)


def test_tensors_survive_json_to_the_bit():
    faces = Faces((face_at(8, 8, 8),), 1, 16, 16)
    crops = FaceCrops(torch.rand(1, 3, 8, 8), faces, torch.rand(1, 2, 3, dtype=torch.float64))
    again = through_json(crops)
    assert torch.equal(again.images, crops.images)
    assert torch.equal(again.to_crop, crops.to_crop)
    assert again.to_crop.dtype == torch.float64
    assert again.faces == faces

    prompts = Prompts(torch.randn(2, 77, 8), torch.randint(-1, 1024, (2, 77)), torch.randint(-1, 256, (2, 77)))
    again = through_json(prompts)
    assert all(torch.equal(getattr(again, name), getattr(prompts, name)) for name in vars(prompts))

    composite = Composite(torch.rand(1, 3, 4, 5), torch.rand(1, 4, 5), (FaceReport(faces.faces[0], False, "why"),))
    again = through_json(composite)
    assert torch.equal(again.image, composite.image)
    assert torch.equal(again.mask, composite.mask)
    assert again.report == composite.report


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "frames, height, width and faces"),
        ({"frames": 1, "height": 9, "width": 9, "faces": [{"frame": 0}]}, "not a face"),
        ({"frames": 1, "height": 9, "width": 9, "faces": 3}, "not the faces of an image"),
        ({"frames": 1, "height": 9, "width": 9, "faces": [face_at(1, 1, 1, frame=4).to_json()]}, "in frame 4, but"),
    ],
)
def test_json_of_something_else_is_named(data, message):
    with pytest.raises(ImageError, match=message):
        Faces.from_json(data)


def test_two_faces_of_a_frame_do_not_share_a_number_kept_or_left_out():
    faces = Faces((face_at(8, 8, 8, index=3), face_at(9, 9, 8, frame=1, index=3)), 2, 20, 20)
    assert through_json(faces) == faces
    twice = replace(faces, skipped=(FaceReport(face_at(12, 9, 8, index=3), False, "why"),))
    with pytest.raises(ImageError, match="Two faces of frame 0 have the number 3"):
        through_json(twice)


def test_a_face_needs_five_landmarks():
    data = face_at(8, 8, 8).to_json()
    data["landmarks"] = data["landmarks"][:3]
    with pytest.raises(ImageError, match="3 landmarks; five"):
        Face.from_json(data)


@pytest.mark.parametrize(
    "image",
    [
        torch.rand(3, 8, 8),
        torch.rand(1, 1, 8, 8),
        torch.rand(1, 4, 8, 8),
        torch.zeros(1, 3, 8, 8).byte(),
        torch.rand(1, 3, 8, 8).half(),
    ],
)
def test_an_image_of_another_kind_is_refused(image):
    with pytest.raises(ImageError, match=r"\[B,3,H,W\]"):
        check_image(image)


def test_crops_must_fit_their_faces():
    faces = Faces((face_at(8, 8, 8),), 1, 16, 16)
    with pytest.raises(ValueError, match="images must be"):
        FaceCrops(torch.rand(2, 3, 8, 8), faces, torch.rand(1, 2, 3))
    with pytest.raises(ValueError, match="to_crop must be"):
        FaceCrops(torch.rand(1, 3, 8, 8), faces, torch.rand(2, 2, 3))


def test_bounding_boxes_are_comfyuis():
    faces = Faces((face_at(40.2, 50.4, 29, index=0), face_at(9, 9, 5.8, frame=2, index=1)), 3, 100, 200)
    boxes = faces.to_bounding_boxes()
    assert boxes[0] == [{"x": 30, "y": 40, "width": 20, "height": 20, "label": "0", "score": 0.99}]
    assert boxes[1] == []
    assert boxes[2][0]["label"] == "1"

"""Photos upside down or on their side: restored rightly or not at all, and then with the advice that helps."""

import pytest
import torch

from osdface_core import read_photo
from osdface_core.detection.orientation import is_upright, turned_faces

UPRIGHT = [
    "ai_m47_1024.jpg",
    "ai_m47_128.jpg",
    "ai_m47_64.jpg",
    "old_autochrome_shaw1908.png",
    "profile_steele_175.jpg",
]


@pytest.mark.parametrize("photo", [*UPRIGHT, "small_wh_240p.jpg", "profile_thurman_169.jpg", "portrait_wh.jpg"])
def test_a_photo_the_right_way_up_loses_no_face(shared, detector, photo):
    faces = detector.detect(read_photo(shared / "images" / photo).pixels)
    assert len(faces) == 1
    assert not faces.skipped


@pytest.mark.parametrize("photo", UPRIGHT[:4])
def test_a_face_upside_down_is_left_out_with_advice(shared, detector, photo):
    """Of these, the detector is sure to 0.87 and more, and places an upright face's landmarks."""
    image = torch.rot90(read_photo(shared / "images" / photo).pixels, 2, (2, 3))
    faces = detector.detect(image)
    assert not len(faces)
    (entry,) = faces.skipped
    assert is_upright(entry.face)
    assert "detect faces in any rotation" in entry.reason
    assert len(detector.detect(image, any_rotation=True)) == 1


def test_a_face_on_its_side_whose_landmarks_are_right_is_kept(shared, detector):
    faces = detector.detect(read_photo(shared / "images" / "derived" / "portrait_wh_rot90.jpg").pixels)
    assert len(faces) == 1
    assert not is_upright(faces.faces[0])


def test_where_nothing_is_seen_the_landmarks_are_believed(astronaut, detector):
    (face,) = detector.detect(astronaut.pixels)
    assert not turned_faces([face], torch.zeros_like(astronaut.pixels), detector.detect_views)
    assert not turned_faces([face], astronaut.pixels[..., :1, :1], detector.detect_views)

"""Boxes that were found elsewhere: looked into for landmarks, or trusted."""

from functools import partial

import numpy as np
import pytest
import torch.nn.functional as F

from osdface_core import ImageError, align_faces, paste_faces, read_photo
from osdface_core.detection.boxes import faces_of_boxes
from osdface_core.detection.detector import NO_FACE
from osdface_core.geometry.align import can_be_aligned


def test_boxes_found_elsewhere_are_looked_into_for_landmarks(shared, detector):
    image = read_photo(shared / "images" / "group_solvay1927.jpg").pixels
    found = detector.detect(image)
    boxes = [[tuple(round(value) for value in face.box) for face in found.faces[5:9]]]
    looked = detector.look_inside(image, boxes)
    assert [face.box for face in looked] == [tuple(map(float, box)) for box in boxes[0]]
    assert [face.index for face in looked] == [0, 1, 2, 3]
    for ours, theirs in zip(looked, found.faces[5:9], strict=True):
        assert np.abs(np.array(ours.landmarks) - np.array(theirs.landmarks)).max() < 0.15 * theirs.width


def drawn(face, scale, shift=0.0):
    """The face's box, scaled about its centre and shifted by a share of its size."""
    left, top, right, bottom = face.box
    x, y = (left + right) / 2 + shift * face.width, (top + bottom) / 2 + shift * face.height
    return (
        x - scale / 2 * face.width,
        y - scale / 2 * face.height,
        x + scale / 2 * face.width,
        y + scale / 2 * face.height,
    )


@pytest.mark.parametrize("name", ["old_autochrome_shaw1908.png", "small_wh_240p.jpg", "profile_thurman_169.jpg"])
@pytest.mark.parametrize(("scale", "shift"), [(0.7, 0), (0.85, 0), (1.2, 0), (1.5, 0), (1, 0.1), (1, -0.1)])
def test_a_box_tighter_wider_or_beside_the_face_shows_the_same_landmarks(shared, detector, name, scale, shift):
    """Detectors do not agree on where a face ends."""
    image = read_photo(shared / "images" / name).pixels
    (true,) = detector.detect(image)
    (face,) = detector.look_inside(image, [[drawn(true, scale, shift)]])
    assert face.score > 0
    assert np.abs(np.array(face.landmarks) - np.array(true.landmarks)).max() < 0.1 * true.width


def test_a_box_wide_enough_for_two_shows_the_face_in_its_middle(shared, detector):
    """Two of the group whose neighbours fill more of the box than they do."""
    image = read_photo(shared / "images" / "group_solvay1927.jpg").pixels
    found = detector.detect(image).faces
    chosen = [found[9], found[11]]
    for face, true in zip(detector.look_inside(image, [[drawn(face, 2) for face in chosen]]), chosen, strict=True):
        assert np.abs(np.array(face.landmarks) - np.array(true.landmarks)).max() < 0.15 * true.width


def test_a_box_without_a_face_in_it_is_left_out_and_keeps_its_number(detector, astronaut):
    """In the sky, beside the face, or where the face was before the photo was scaled."""
    (true,) = detector.detect(astronaut.pixels)
    shoulder = (true.box[0] - 90, true.box[3] - 5, true.box[0] + 5, true.box[3] + 90)
    sky = (10.0, 10.0, 90.0, 110.0)
    looked = detector.look_inside(astronaut.pixels, [[sky, true.box, shoulder]])
    assert [face.index for face in looked] == [1]
    assert [(entry.face.index, entry.face.box) for entry in looked.skipped] == [(0, sky), (2, shoulder)]
    assert {entry.reason for entry in looked.skipped} == {NO_FACE}
    report = paste_faces(astronaut.pixels, align_faces(astronaut.pixels, looked, 64)).report_json()
    assert [face["reason"] for face in report["faces"]] == [NO_FACE, "it looks as before", NO_FACE]
    larger = F.interpolate(astronaut.pixels, scale_factor=2)
    assert len(detector.look_inside(larger, [[true.box]])) == 0


def test_boxes_without_a_detector_are_trusted_to_hold_upright_faces(detector, astronaut):
    true = detector.detect(astronaut.pixels).faces[0]
    (face,) = faces_of_boxes([[true.box]], 512, 512)
    assert (face.box, face.score) == (true.box, 0)
    assert np.abs(np.array(face.landmarks) - np.array(true.landmarks)).max() < 0.15 * true.width
    assert can_be_aligned(face)


def test_boxes_must_lie_in_the_image_and_endless_ones_end(detector, astronaut):
    trusted, looked_into = (
        partial(faces_of_boxes, height=512, width=512),
        partial(detector.look_inside, astronaut.pixels),
    )
    for bad in ((900, 900, 950, 950), (200, 200, 100, 300), (float("nan"), 0, 50, 50), (0, 0, 0, 0)):
        for faces_in in (trusted, looked_into):
            with pytest.raises(ImageError, match="Box 1 of frame 0 does not lie in the image"):
                faces_in([[(10, 10, 50, 50), bad]])
    with pytest.raises(ImageError, match="boxes for 2 images, but the batch has 1"):
        looked_into([[(10, 10, 50, 50)], []])
    endless = [[(-1e30, -float("inf"), 1e30, float("inf"))]]
    for faces in (trusted(endless), looked_into(endless)):
        for face in (*faces, *(entry.face for entry in faces.skipped)):
            assert face.is_finite
            assert face.box == (-512, -512, 1024, 1024)


def test_boxes_of_turned_faces_are_looked_into_from_every_side(shared, detector):
    image = read_photo(shared / "images" / "derived" / "portrait_wh_rot180.jpg").pixels
    (true,) = detector.detect(image, any_rotation=True)
    (face,) = detector.look_inside(image, [[true.box]], any_rotation=True)
    assert np.abs(np.array(face.landmarks) - np.array(true.landmarks)).max() < 0.1 * true.size

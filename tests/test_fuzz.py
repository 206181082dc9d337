"""Faces that make no sense, from files and other nodes: a named error, or a line in the report; never a crash."""

import json
import math

import pytest
import torch
from conftest import face_at
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from osdface_core import Face, Faces, ImageError, align_faces, paste_faces
from osdface_core.detection.overlay import draw_numbers

HEIGHT, WIDTH = 48, 64
WHOLE = Faces((face_at(30, 25, 24),), 1, HEIGHT, WIDTH).to_json()

numbers = st.floats() | st.integers(-(10**400), 10**400) | st.floats(-100, 100)
scalars = st.none() | st.booleans() | numbers | st.text(max_size=5)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner), max_leaves=8
)
paths = st.sampled_from(
    [(), ("frames",), ("height",), ("width",), ("faces",), ("skipped",), ("faces", 0), ("faces", 0, "frame")]
    + [("faces", 0, name) for name in ("index", "box", "score", "landmarks")]
    + [("faces", 0, "box", 2), ("faces", 0, "landmarks", 4), ("faces", 0, "landmarks", 1, 0)]
)


def changed(data, path, value):
    """A deep copy of `data` with another value in one place."""
    if not path:
        return value
    copy = dict(data) if isinstance(data, dict) else list(data)
    copy[path[0]] = changed(copy[path[0]], path[1:], value)
    return copy


def restore(faces):
    """Every face is cut, changed, pasted and reported, or left out with a reason. Returns the report."""
    image = torch.rand(faces.frames, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    crops = align_faces(image, faces, 32)
    assert crops.images.isfinite().all()
    result = paste_faces(image, crops.with_images(1 - crops.images))
    assert result.image.isfinite().all()
    assert len(result.report) == len(faces) + len(faces.skipped)
    assert all(entry.restored != bool(entry.reason) for entry in result.report)
    assert torch.equal(result.image.movedim(1, 0)[:, result.mask == 0], image.movedim(1, 0)[:, result.mask == 0])
    assert draw_numbers(image, faces).shape == image.shape
    return result.report


@settings(max_examples=40, deadline=None)
@given(paths, values)
def test_a_file_of_faces_is_read_or_named_as_wrong(path, value):
    data = json.loads(json.dumps(changed(WHOLE, path, value)))
    try:
        faces = Faces.from_json(data)
    except ImageError:
        return
    assert faces.frames >= 1
    assert all(math.isfinite(value) for face in faces for value in (*face.box, face.score))
    if (faces.frames, faces.height, faces.width) == (1, HEIGHT, WIDTH):
        restore(faces)


anywhere = st.floats() | st.floats(-80, 80)
points = st.lists(st.tuples(anywhere, anywhere), min_size=5, max_size=5)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.tuples(*[anywhere] * 4), points), max_size=3))
def test_faces_with_any_box_and_landmarks_are_restored_or_reported(found):
    restore(Faces(tuple(Face(0, n, box, 0.9, tuple(own)) for n, (box, own) in enumerate(found)), 1, HEIGHT, WIDTH))


@settings(max_examples=40, deadline=None)
@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9), st.floats(1e-6, 1e9), st.floats(0, 360))
def test_faces_of_any_size_anywhere_are_restored_or_reported(x, y, size, angle):
    (entry,) = restore(Faces((face_at(x, y, size, angle=angle),), 1, HEIGHT, WIDTH))
    if entry.restored:
        assert abs(x - WIDTH / 2) < WIDTH / 2 + size
        assert abs(y - HEIGHT / 2) < HEIGHT / 2 + size


@pytest.mark.parametrize(
    ("box", "landmarks", "reason"),
    [
        ((10, 10, 40, 40), ((25.0, 25.0),) * 5, "do not fit a face"),
        ((10, 10, 40, 40), ((math.nan, 1.0), *face_at(25, 25, 40).landmarks[1:]), "do not fit a face"),
        ((40, 40, 10, 10), face_at(25, 25, 40).landmarks, "do not fit a face"),
        ((10, 10, 40, 40), face_at(1000, 25, 40).landmarks, "do not fit a face"),
        (face_at(500, 25, 40).box, face_at(500, 25, 40).landmarks, "outside the image"),
        (face_at(25, 25, 9000).box, face_at(25, 25, 9000).landmarks, "outside the image"),
    ],
    ids=["coincident", "NaN", "reversed box", "elsewhere than the box", "outside", "far too large"],
)
def test_each_kind_of_nonsense_has_its_line_in_the_report(box, landmarks, reason):
    good = face_at(30, 25, 24, index=1)
    bad, fine = restore(Faces((Face(0, 0, tuple(map(float, box)), 0.9, landmarks), good), 1, HEIGHT, WIDTH))
    assert reason in bad.reason
    assert fine.restored


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.tuples(*[anywhere] * 4))
def test_a_box_from_elsewhere_gives_a_face_or_a_named_error(detector, box):
    image = torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    left, top, right, bottom = box
    if max(left, 0) < min(right, WIDTH) and max(top, 0) < min(bottom, HEIGHT):
        faces = detector.look_inside(image, [[box]])
        restore(faces)
        json.dumps(faces.to_bounding_boxes(), allow_nan=False)
    else:
        with pytest.raises(ImageError, match="does not lie in the image"):
            detector.look_inside(image, [[box]])

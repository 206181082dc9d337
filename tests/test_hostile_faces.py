"""Faces and crops from files that nobody should write: a named error, before they take memory or time."""

import json
import math
from dataclasses import replace

import pytest
import torch
from conftest import face_at

from osdface_core import Composite, FaceCrops, Faces, ImageError, Prompts, align_faces, paste_faces
from osdface_core.detection.boxes import faces_of_boxes
from osdface_core.detection.overlay import draw_numbers
from osdface_core.errors import OptionError
from osdface_core.faces import MOST_FACES

WHOLE = Faces((face_at(30, 25, 24),), 1, 48, 64)
DEEP = json.loads("[" * 900 + "]" * 900)
INF, NAN = math.inf, math.nan


def changed(data, path, value):
    """A deep copy of `data` with another value in one place."""
    if not path:
        return value
    copy = dict(data) if isinstance(data, dict) else list(data)
    copy[path[0]] = changed(copy[path[0]], path[1:], value)
    return copy


ABSURD = [NAN, INF, 1e300, -1e300, 10**400, "12", None, True, [], {}, DEEP]


@pytest.mark.parametrize("value", ABSURD, ids=lambda value: repr(value)[:12])
@pytest.mark.parametrize(
    "path",
    [
        *[("faces", 0, *place) for place in ((), ("box",), ("box", 1), ("landmarks", 2, 1))],
        *[("faces", 0, name) for name in ("score", "index", "frame")],
        *[(name,) for name in ("frames", "height", "width")],
    ],
    ids=lambda path: ".".join(map(str, path)),
)
def test_absurd_values_in_a_file_of_faces_are_named_in_a_line_or_two(path, value):
    with pytest.raises(ImageError) as caught:
        Faces.from_json(changed(WHOLE.to_json(), path, value))
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("faces", 0, "box"), [40, 10, 20, 30], "box .* ends before it begins"),
        (("faces", 0, "box"), [10, 10, 20], "not a face"),
        (("faces", 0, "box"), [10, 10, 20, 20, 20], "not a face"),
        (("faces", 0, "landmarks"), [[1, 2, 3]] * 5, "not a face"),
        (("faces", 0, "landmarks"), [[1, 2]] * 5000, "5000 landmarks; five"),
        (("faces", 0, "index"), -1, "index is -1"),
        (("faces", 0, "index"), 1.5, "not a face"),
        (("faces", 0, "score"), 1.5, "score is 1.5"),
        (("frames",), -3, "frames is -3"),
        (("frames",), 10**12, "frames is 1000000000000"),
        (("width",), 10**9, "width is 1000000000"),
        (("skipped",), [3], "not a face"),
        (("skipped",), [WHOLE.faces[0].to_json()], "not the report of a face"),
    ],
)
def test_what_is_wrong_with_a_file_of_faces_is_said(path, value, message):
    with pytest.raises(ImageError, match=message):
        Faces.from_json(changed(WHOLE.to_json(), path, value) if path[0] in WHOLE.to_json() else value)


def test_a_photo_has_at_most_so_many_faces():
    many = [{**WHOLE.faces[0].to_json(), "index": n} for n in range(MOST_FACES + 1)]
    assert len(Faces.from_json({**WHOLE.to_json(), "faces": many[:-1]})) == MOST_FACES
    with pytest.raises(ImageError, match=f"more than {MOST_FACES} faces in frame 0"):
        Faces.from_json({**WHOLE.to_json(), "faces": many})
    with pytest.raises(ImageError, match=f"more than {MOST_FACES} boxes for frame 1"):
        faces_of_boxes([[], [(1, 1, 9, 9)] * (MOST_FACES + 1)], 48, 64)


def test_numbers_are_drawn_on_the_photo_that_the_faces_are_of_and_no_other():
    for faces in (Faces((), 1, 10**6, 10**6), Faces((), 10**6, 48, 64)):
        with pytest.raises(ImageError, match="Detect the faces again on this image"):
            draw_numbers(torch.rand(1, 3, 48, 64), faces)


IMAGE = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))
CROPS = align_faces(IMAGE, WHOLE, 16).to_json()


def test_honest_crops_are_read_and_pasted():
    crops = FaceCrops.from_json(json.loads(json.dumps(CROPS)))
    assert torch.equal(crops.images, align_faces(IMAGE, WHOLE, 16).images)
    paste_faces(IMAGE, crops)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ((), None),
        ((), []),
        (("images",), 7),
        (("images",), {}),
        (("images", "dtype"), "object"),
        (("images", "dtype"), "U9"),
        (("images", "dtype"), "float99"),
        (("images", "dtype"), "float64"),
        (("images", "dtype"), DEEP),
        (("images", "shape"), [1, 3, 10**9, 10**9]),
        (("images", "shape"), [0, 3, 10**9, 10**9]),
        (("images", "shape"), [1, 3, -1, 16]),
        (("images", "shape"), [1, 3, 8, 32]),
        (("images", "shape"), "1"),
        (("images", "shape"), DEEP),
        (("images", "data"), "!"),
        (("images", "data"), 5),
        (("images", "data"), ""),
        (("to_crop", "data"), CROPS["images"]["data"]),
        (("to_crop",), CROPS["images"]),
        (("faces",), None),
        (("faces", "faces"), []),
        (("identity",), [0.5, 0.5]),
        (("identity",), [NAN]),
        (("identity",), "x"),
        (("identity",), 3),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_a_file_of_crops_that_is_none_is_named(path, value):
    with pytest.raises(ImageError):
        FaceCrops.from_json(changed(CROPS, path, value))


@pytest.mark.parametrize("matrix", [[[0, 0, 0], [0, 0, 0]], [[1, 0, NAN], [0, 1, 0]], [[1e-9, 0, 0], [0, 1e-9, 0]]])
@pytest.mark.parametrize("scale", [1, 1e9])
def test_crops_that_come_from_nowhere_are_named_where_they_are_read_or_pasted(matrix, scale):
    """A crop of a millionth of a pixel would be averaged from more samples than there is memory for."""
    matrix = torch.tensor([matrix], dtype=torch.float64) * scale**2
    crops = FaceCrops(torch.rand(1, 3, 16, 16), WHOLE, matrix)
    with pytest.raises(ImageError, match="Crop 0 does not come from the image"):
        paste_faces(IMAGE, crops)
    with pytest.raises(ImageError, match="Crop 0 does not come from the image"):
        FaceCrops.from_json(crops.to_json())


@pytest.mark.parametrize("size", [0, -1, 8193, 10**9])
def test_crops_have_a_size_that_fits_memory(size):
    with pytest.raises(OptionError, match=r"size .*: it must be a whole number between 8 and 8192"):
        align_faces(IMAGE, WHOLE, size)


@pytest.mark.parametrize("kind", [Composite, Prompts])
@pytest.mark.parametrize("data", [None, [], {}, {"image": 1}, {"embeds": {"dtype": "float32"}}])
def test_files_of_other_values_are_named_too(kind, data):
    with pytest.raises(ImageError):
        kind.from_json(data)


def test_a_crop_of_half_a_pixel_is_pasted_in_little_memory():
    """Every pixel of the photo is the mean of a thousand by a thousand of the crop."""
    resource = pytest.importorskip("resource")
    scale = 2048 / 0.6
    matrix = torch.tensor([[[scale, 0, -30 * scale], [0, scale, -20 * scale]]], dtype=torch.float64)
    crops = FaceCrops(torch.ones(1, 3, 2048, 2048), replace(WHOLE, faces=(face_at(30.3, 20.3, 1),)), matrix)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = paste_faces(IMAGE, crops)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600_000  # kilobytes
    assert result.image.isfinite().all()

"""Detection with real RetinaFace weights, against facexlib's own results."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import ROOT, left_behind

from osdface_core import Faces, ImageError, load_detector, read_photo
from osdface_core.detection.detector import (
    LONG_SIDE,
    MOST_FACES,
    PIXELS,
    SHORT_SIDE,
    TOO_MANY,
    fitted,
    padded,
    shared_area,
)
from osdface_core.detection.views import turned_back, view_of
from osdface_core.errors import WeightsNotFoundError
from osdface_core.geometry.align import can_be_aligned

PHOTOS = [
    "ai_m47_1024.jpg",
    "ai_m47_128.jpg",
    "ai_m47_32.jpg",
    "ai_m47_64.jpg",
    "astronaut.png",
    "derived/astronaut_lq256.jpg",
    "derived/portrait_wh_rot180.jpg",
    "derived/portrait_wh_rot20.jpg",
    "derived/portrait_wh_rot45.jpg",
    "derived/portrait_wh_rot90.jpg",
    "group_solvay1927.jpg",
    "noface_rocket.jpg",
    "old_autochrome_shaw1908.png",
    "portrait_wh.jpg",
    "profile_steele_175.jpg",
    "profile_thurman_169.jpg",
    "small_wh_240p.jpg",
]
LARGER_THAN_640 = ("ai_m47_1024", "rot20", "rot45", "group", "portrait_wh.jpg")
SMALL_PHOTOS = [photo for photo in PHOTOS if not any(part in photo for part in LARGER_THAN_640)]
"""Those that facexlib's helper enlarges to 640. It reduces the others with aliasing, where ours averages."""

ANY_SIZE = (1, 100_000)


def as_rows(faces):
    """Faces as rows of box and landmarks, in an order of their own."""
    rows = [[*face.box, *(value for point in face.landmarks for value in point)] for face in faces]
    return np.array(sorted(rows)).reshape(-1, 14)


def everything(faces):
    """Those that were left out, too."""
    return [*faces, *(entry.face for entry in faces.skipped)]


def recorded(shared, photo, run):
    data = json.loads((shared / "golden" / "detect" / (photo.replace("/", "__") + ".json")).read_text(encoding="utf-8"))
    faces = next(entry for entry in data["runs"] if entry["run"] == run)["faces"]
    rows = [[*face["box"], *(value for point in face["landmarks"] for value in point)] for face in faces]
    return np.array(sorted(rows)).reshape(-1, 14), sorted(face["score"] for face in faces)


@pytest.mark.parametrize("photo", PHOTOS)
def test_at_the_photos_own_size_it_is_facexlibs(shared, detector, photo):
    image = read_photo(shared / "images" / photo).pixels
    faces = everything(detector.detect(image, threshold=0.5, short_side=ANY_SIZE))
    rows, scores = recorded(shared, photo, "original")
    assert as_rows(faces).shape == rows.shape
    assert np.abs(as_rows(faces) - rows).max(initial=0) < 1e-3
    assert np.allclose(sorted(face.score for face in faces), scores, atol=1e-5)


@pytest.mark.parametrize("photo", SMALL_PHOTOS)
def test_small_photos_are_enlarged_as_facexlibs_helper_does(shared, detector, photo):
    image = read_photo(shared / "images" / photo).pixels
    rows, _ = recorded(shared, photo, "min640")
    faces = everything(detector.detect(image, threshold=0.5, short_side=(640, 640)))
    assert as_rows(faces).shape == rows.shape
    assert np.abs(as_rows(faces) - rows).max(initial=0) < 1.0  # theirs rounds the enlarged size down, ours to nearest


def test_faces_of_32_pixel_photos_are_found_by_default(shared, detector):
    image = read_photo(shared / "images" / "ai_m47_32.jpg").pixels
    assert len(detector.detect(image, threshold=0.5, short_side=ANY_SIZE)) == 0
    assert len(detector.detect(image)) == 1


def test_every_photo_gives_the_faces_it_shows(shared, detector):
    expected = dict.fromkeys(PHOTOS, 1) | {"group_solvay1927.jpg": 29, "noface_rocket.jpg": 0}
    for photo, count in expected.items():
        faces = detector.detect(read_photo(shared / "images" / photo).pixels)
        assert len(faces) == count, photo
        assert [face.index for face in faces] == list(range(count))


def test_the_photos_carried_here_come_with_the_faces_the_detector_finds(detector, astronaut):
    beside = Faces.from_json(json.loads((ROOT / "photos" / "astronaut.json").read_text(encoding="utf-8")))
    found = detector.detect(astronaut.pixels)
    assert np.abs(as_rows(found) - as_rows(beside)).max() < 1e-3


def test_the_starter_is_what_finds_faces_where_there_is_no_other(astronaut, monkeypatch):
    monkeypatch.setattr("osdface_core.detection.load.find", lambda _entry: None)
    detector = load_detector()
    assert "Download retinaface-resnet50" in detector.notice
    beside = Faces.from_json(json.loads((ROOT / "photos" / "astronaut.json").read_text(encoding="utf-8")))
    assert np.abs(as_rows(detector.detect(astronaut.pixels)) - as_rows(beside)).max() < 1
    with pytest.raises(WeightsNotFoundError, match="osdface weights download retinaface-resnet50"):
        load_detector("retinaface_resnet50")


@pytest.mark.parametrize(
    "photo", ["group_solvay1927.jpg", "portrait_wh.jpg", "profile_steele_175.jpg", "ai_m47_64.jpg"]
)
def test_the_starter_sees_what_its_teacher_sees(shared, detector, photo):
    image = read_photo(shared / "images" / photo).pixels
    ours, theirs = (which.detect(image) for which in (load_detector("starter"), detector))
    assert not detector.notice
    assert len(ours) == len(theirs)
    for face in ours:
        other = max(theirs, key=lambda other: shared_area(face.box, other.box))
        assert np.abs(np.array(face.landmarks) - np.array(other.landmarks)).max() < 0.1 * other.size


@pytest.mark.parametrize("any_rotation", [False, True])
def test_a_batch_gives_what_each_image_gives(detector, astronaut, any_rotation):
    """A photo, one without a face, a close-up, one upside down: some are looked at twice, some in other positions."""
    image = astronaut.pixels[..., :480]
    close = F.interpolate(image[..., 80:240, 160:310], image.shape[2:], mode="bilinear")
    batch = torch.cat([image, torch.zeros_like(image), close, image.flip(2), image.flip(3)])
    together = detector.detect(batch, any_rotation=any_rotation)
    assert (together.frames, together.height, together.width) == (5, 512, 480)
    for frame in range(5):
        alone = detector.detect(batch[frame : frame + 1], any_rotation=any_rotation)
        ours = together.between(frame, frame + 1)
        assert [face.index for face in ours] == [face.index for face in alone]
        assert as_rows(everything(ours)) == pytest.approx(as_rows(everything(alone)), abs=1e-3)
        assert [entry.reason for entry in ours.skipped] == [entry.reason for entry in alone.skipped]


def test_large_batches_go_through_the_network_in_parts(detector, astronaut, monkeypatch):
    batch = astronaut.pixels.repeat(3, 1, 1, 1)
    whole = detector.detect(batch)
    monkeypatch.setattr("osdface_core.detection.detector.PIXELS_ON_CPU", 2 * 640 * 640)
    sizes = []
    handle = detector.network.register_forward_pre_hook(lambda _network, inputs: sizes.append(len(inputs[0])))
    assert as_rows(detector.detect(batch)) == pytest.approx(as_rows(whole), abs=1e-3)
    handle.remove()
    assert sizes[:2] == [2, 1]


@pytest.mark.parametrize("size", [(80, 100), (160, 200), (40, 50)])
def test_everything_happens_on_the_device_until_one_copy_at_the_end(size):
    """On the meta device, which cannot be copied from, and which no other device's tensors mix with."""
    elsewhere = load_detector("starter", device="meta")
    views = [view_of(frame, (-5, -5, 105, 85), (0, 0, 100, 80), size, turns=1) for frame in range(2)]
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta") as error:
        elsewhere.candidates(torch.rand(2, 3, 80, 100), views)
    assert str(error.traceback[-1].statement).rstrip().endswith(".cpu()")


def test_four_threads_with_one_detector_get_what_one_gets(shared, detector):
    images = [read_photo(shared / "images" / photo).pixels for photo in SMALL_PHOTOS]
    alone = [detector.detect(image, short_side=(320, 640)) for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda image: detector.detect(image, short_side=(320, 640)), images * 2))
    for one, other in zip(alone * 2, together, strict=True):
        assert as_rows(everything(one)) == pytest.approx(as_rows(everything(other)), abs=1e-3)


def test_images_of_any_shape_are_looked_at_in_few_pixels():
    for height, width in ((5000, 1), (1, 5000), (100_000, 3), (20_000, 20_000), (1, 1)):
        looked = fitted(height, width, SHORT_SIDE)
        assert min(looked) >= 1
        assert max(looked) <= LONG_SIDE
        assert padded(looked[0]) * padded(looked[1]) < 1.2 * PIXELS
    assert fitted(3000, 4000, SHORT_SIDE) == (1280, 1707)
    assert fitted(1080, 5000, SHORT_SIDE) == (1080, 5000)


def test_images_of_many_sizes_are_drawn_on_canvases_of_few():
    sides = {padded(side) for side in range(640, 1281)}
    assert len(sides) <= 9
    assert all(side % 32 == 0 for side in sides)
    assert all(side <= padded(side) < 1.15 * side + 32 for side in range(1, 3000))


@pytest.mark.parametrize("shape", [(1, 5000), (5000, 1)])
def test_thin_images_are_looked_at_in_little_memory(detector, shape):
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert not len(detector.detect(torch.rand(1, 3, *shape)))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1e6  # kilobytes


def test_of_too_many_faces_the_surest_are_kept_and_the_user_is_told(shared, monkeypatch):
    image = read_photo(shared / "images" / "group_solvay1927.jpg").pixels[..., :512, :512]
    starter = load_detector("starter")
    faces = starter.detect(image, threshold=0)
    assert len(faces) <= MOST_FACES
    monkeypatch.setattr("osdface_core.detection.detector.MOST_FACES", 3)
    few = starter.detect(image)
    assert len(few) == 3
    assert {entry.reason for entry in few.skipped} == {TOO_MANY}
    assert min(face.score for face in few) >= max(entry.face.score for entry in few.skipped)


CLOSE_UPS = ["portrait_wh.jpg", "old_autochrome_shaw1908.png", "astronaut.png"]


@pytest.mark.parametrize("photo", CLOSE_UPS)
@pytest.mark.parametrize("margin", [0.1, -0.15])
def test_a_face_that_fills_the_image_or_more_is_found_once_and_in_its_place(shared, detector, photo, margin):
    """RetinaFace by itself finds parts of it, or nothing."""
    image = read_photo(shared / "images" / photo).pixels
    whole = detector.detect(image).faces[0]
    left, top, right, bottom = whole.box
    x, y = int(left - margin * whole.width), int(top - margin * whole.height)
    close = image[..., y : int(bottom + margin * whole.height), x : int(right + margin * whole.width)]
    (face,) = detector.detect(close)
    assert np.abs(np.array(face.landmarks) + np.array([x, y]) - np.array(whole.landmarks)).max() < 0.08 * whole.size


def test_a_face_that_fills_the_image_does_not_hide_the_others(shared, detector):
    """A small photo lies in front of a portrait."""
    image = read_photo(shared / "images" / "portrait_wh.jpg").pixels
    close = image[..., 150:650, 200:700].clone()
    assert len(detector.detect(close)) == 1
    close[..., :150, :150] = F.interpolate(read_photo(shared / "images" / "ai_m47_1024.jpg").pixels, (150, 150))
    small, large = sorted(detector.detect(close), key=lambda face: face.size)
    assert small.size < 100 < 250 < large.size


@pytest.mark.parametrize(
    ("photo", "turns"),
    [("old_autochrome_shaw1908.png", 2), ("astronaut.png", 1), ("astronaut.png", 2), ("astronaut.png", 3)],
)
def test_turned_photos_give_the_same_faces_turned(shared, detector, photo, turns):
    """Of the photo upside down, RetinaFace is sure of the face, but places its landmarks as if it were upright."""
    image = read_photo(shared / "images" / photo).pixels
    height, width = image.shape[2:]
    turned = detector.detect(torch.rot90(image, turns, (2, 3)), any_rotation=True)
    (upright,) = detector.detect(image)
    back = turned_back(turned.faces[0], turns, height, width)
    assert len(turned) == 1
    assert np.abs(np.array(back.landmarks) - np.array(upright.landmarks)).max() < 1e-3
    assert back.box == pytest.approx(upright.box, abs=1e-3)
    assert can_be_aligned(turned.faces[0])


def test_upright_photos_lose_nothing_when_every_rotation_is_tried(shared, detector):
    image = read_photo(shared / "images" / "group_solvay1927.jpg").pixels
    boxes = [np.array([face.box for face in detector.detect(image, any_rotation=on)]) for on in (False, True)]
    assert len(boxes[1]) == len(boxes[0]) == 29
    assert np.abs(boxes[0] - boxes[1]).max() < 10


def test_the_threshold_decides(shared, detector):
    image = read_photo(shared / "images" / "profile_steele_175.jpg").pixels
    assert len(detector.detect(image, threshold=0.95, short_side=ANY_SIZE)) == 1
    assert len(detector.detect(image, threshold=0.97, short_side=ANY_SIZE)) == 0


def test_grey_and_transparent_images_are_named_not_misread(detector):
    for channels in (1, 4):
        with pytest.raises(ImageError, match="Grey and RGBA"):
            detector.detect(torch.rand(1, channels, 64, 64))


def test_no_gradients_are_kept(detector, astronaut):
    with torch.enable_grad():
        assert len(detector.detect(astronaut.pixels)) == 1
    assert not any(parameter.requires_grad for parameter in detector.network.parameters())


def test_nothing_stays_behind_on_a_device_that_the_detector_leaves(detector, astronaut):
    detector.detect(astronaut.pixels)
    assert left_behind(detector) == []

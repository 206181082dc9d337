"""The sharpness of faces: falls with every blur, whatever the contrast, and its default limit parts good from bad."""

import pytest
import torch
import torch.nn.functional as F
from conftest import face_at

from osdface_core import Faces, align_faces, read_photo
from osdface_core.options import SHARP
from osdface_core.selection.sharpness import sharpness


def crops_of(images):
    """Square images as if they were crops: faces that fill them."""
    size = images.shape[-1]
    faces = tuple(face_at((size - 1) / 2, (size - 1) / 2, size, frame=n) for n in range(len(images)))
    crops = align_faces(torch.zeros_like(images), Faces(faces, len(images), size, size), size)
    return crops.with_images(images)


@pytest.fixture(scope="module")
def portraits(shared):
    folder = shared / "faces" / "faces512" / "test"
    if not folder.is_dir():
        pytest.skip("no aligned portraits in the shared data")
    return torch.cat([read_photo(path).pixels for path in sorted(folder.iterdir())[::40]])


def enlarged(images, times):
    """What was photographed with that many times fewer pixels."""
    return F.interpolate(F.avg_pool2d(images, times), scale_factor=times, mode="bicubic").clamp(0, 1)


def test_the_default_limit_parts_portraits_from_enlarged_small_ones(portraits):
    sharp = torch.tensor(sharpness(crops_of(portraits)))
    blurred = torch.tensor(sharpness(crops_of(enlarged(portraits, 4))))
    assert (sharp >= SHARP).float().mean() > 0.8
    assert (blurred < SHARP).all()


def test_every_blur_makes_it_less(portraits):
    some = portraits[:4]
    values = torch.tensor([sharpness(crops_of(images)) for images in (some, *(enlarged(some, n) for n in (2, 4, 8)))])
    assert (values.diff(dim=0) < 0).all()


def test_contrast_and_brightness_change_nothing(portraits):
    some = portraits[:4]
    assert sharpness(crops_of(0.3 * some + 0.2)) == pytest.approx(sharpness(crops_of(some)), rel=1e-3)


def test_plain_crops_and_none_at_all_have_no_sharpness():
    crops = crops_of(torch.full((1, 3, 64, 64), 0.5))
    assert sharpness(crops) == (0,)
    assert sharpness(crops.take([])) == ()

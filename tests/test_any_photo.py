"""Whatever is to be written as a photo: it is, or a named error says why not; never a bare one."""

import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_any_tensor import tensors

from osdface_core import OSDFaceError, read_photo, write_photo

SUFFIXES = [".png", ".jpg", ".webp", ".tif", ".gif", ".bmp", ".txt"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tensors(1, 3, 20, 30), st.sampled_from(SUFFIXES))
def test_a_photo_is_written_or_a_named_error_says_why_not(tmp_path, image, suffix):
    path = tmp_path / f"a{suffix}"
    try:
        write_photo(path, image)
    except OSDFaceError:
        assert not path.exists()
        return
    assert read_photo(path).pixels.shape == image.shape
    path.unlink()


def test_what_is_no_image_of_numbers_is_not_written(tmp_path):
    images = (torch.zeros(3, 4, 4), torch.zeros(2, 3, 4, 4), torch.zeros(1, 5, 4, 4), torch.zeros(1, 3, 4, 4).byte())
    for wrong in (torch.full((1, 3, 4, 4), math.nan), torch.full((1, 3, 4, 4), math.inf), *images):
        with pytest.raises(OSDFaceError):
            write_photo(tmp_path / "a.png", wrong)

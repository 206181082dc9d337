"""The feathered square."""

import cv2
import numpy as np
import pytest
import torch

from osdface_core.compositing.masks import SHAPES, ellipse_mask, fade_inwards, shape_mask, square_mask
from osdface_core.errors import OptionError


def facexlib_mask(side: int) -> np.ndarray:
    """facexlib's soft square for an upright face of `side` pixels at the photo's own scale, in a wider photo."""
    mask = np.zeros((side + 100, side + 100), np.float32)
    mask[50 : 50 + side, 50 : 50 + side] = 1
    eroded = cv2.erode(mask, np.ones((2, 2), np.uint8))
    edge = int(eroded.sum() ** 0.5) // 20
    inner = cv2.erode(eroded, np.ones((2 * edge, 2 * edge), np.uint8))
    return cv2.GaussianBlur(inner, (2 * edge + 1, 2 * edge + 1), 0)[50 : 50 + side, 50 : 50 + side]


def test_it_is_facexlibs_soft_square_to_a_pixel_or_two():
    for side in (200, 400, 800):
        ours, theirs = square_mask(side).numpy(), facexlib_mask(side)
        across = side // 2
        assert abs((ours[across] > 0.5).sum() - (theirs[across] > 0.5).sum()) <= 2
        assert abs(ours[across].sum() - theirs[across].sum()) <= 3
        middle = slice(side // 8, -side // 8)
        assert np.abs(ours[middle, middle] - theirs[middle, middle]).max() < 1e-4


def test_it_is_one_inside_and_exactly_zero_at_the_outermost_pixels():
    mask = square_mask(512)
    assert (mask[52:-52, 52:-52] == 1).all()
    for edge in (mask[0], mask[-1], mask[:, 0], mask[:, -1]):
        assert (edge == 0).all()
    assert (mask[1:-1, 1:-1] > 0).all()


def test_it_falls_evenly_and_alike_on_all_sides():
    mask = square_mask(256, feather=0.2)
    assert torch.equal(mask, mask.T)
    assert torch.equal(mask, mask.flip(0))
    assert (mask[:128, 128].diff() >= 0).all()


def test_it_is_the_same_shape_at_every_size():
    small, large = square_mask(256), square_mask(512)
    reduced = torch.nn.functional.interpolate(large[None, None], (256, 256), mode="bilinear", antialias=True)[0, 0]
    assert (small - reduced).abs().max() < 0.03


def test_the_ellipse_is_about_the_head_and_zero_at_its_edge():
    mask = ellipse_mask(512)
    assert mask[256, 256] == 1
    for edge in (mask[0], mask[-1], mask[:, 0], mask[:, -1], mask[:, :50], mask[40, 40]):
        assert (edge == 0).all()
    assert torch.allclose(mask, mask.flip(0), atol=1e-6)
    assert torch.allclose(mask, mask.flip(1), atol=1e-6)
    assert mask[256, 52:460].min() > 0
    assert (mask <= square_mask(512) + 0.02).all()
    assert torch.equal(shape_mask(64, "ellipse"), ellipse_mask(64))
    with pytest.raises(OptionError, match="shape star: it must be one of square, ellipse"):
        shape_mask(64, "star")


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_holds_the_face_and_is_zero_at_the_crops_edge(shape):
    mask = shape_mask(64, shape)
    assert mask[24:40, 24:40].min() > 0.99
    for edge in (mask[0], mask[-1], mask[:, 0], mask[:, -1]):
        assert (edge == 0).all()


def test_a_border_fades_inwards_alike_at_every_size():
    masks = []
    for size in (128, 512):
        mask = torch.zeros(1, size, size)
        mask[:, size // 4 : -size // 4, size // 4 : -size // 4] = 1
        soft = fade_inwards(mask, 0.1)[0]
        assert (soft[mask[0] == 0] < 0.1).all()
        assert (soft[: size // 4 - size // 64] == 0).all()
        assert soft[size // 2, size // 2] == 1
        masks.append(soft)
    reduced = torch.nn.functional.interpolate(masks[1][None, None], (128, 128), mode="area")[0, 0]
    assert (masks[0] - reduced).abs().max() < 0.05
    assert torch.equal(fade_inwards(torch.ones(1, 64, 64)), torch.ones(1, 64, 64))

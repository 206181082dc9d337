"""Views show the right pixels, and lead back to them."""

import cv2
import numpy as np
import pytest
import torch

from osdface_core import Face
from osdface_core.detection.views import resized, turned_back, view_of

CPU = torch.device("cpu")


def test_turning_back_leaves_every_pixel_where_it_was():
    image = torch.arange(3 * 5 * 7).reshape(3, 5, 7).float()
    for turns in range(4):
        turned = torch.rot90(image, turns, (1, 2))
        points = ((0.0, 0.0), (2.0, 3.0), (4.0, 1.0), (1.0, 4.0), (3.0, 2.0))
        face = turned_back(Face(0, 0, (0.0, 1.0, 2.0, 4.0), 1, points), turns, 5, 7)
        for (x, y), (old_x, old_y) in zip(face.landmarks, points, strict=True):
            assert torch.equal(image[:, int(y), int(x)], turned[:, int(old_y), int(old_x)])
        assert face.width > 0 < face.height


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("window", [(0, 0, 40, 30), (4, 6, 24, 16), (-10, -20, 50, 50), (-10, 5, 20, 60)])
def test_a_view_leads_back_to_what_it_shows(turns, window):
    """A window with margins, twice as large as it is: the brightest pixels of the image are seen where they are."""
    images = torch.zeros(2, 3, 30, 40)
    images[1, :, 10:12, 14:16] = 1
    size = (2 * (window[3] - window[1]), 2 * (window[2] - window[0]))
    view = view_of(1, window, (0, 0, 40, 30), size, turns)
    drawn = view.draw(images, CPU)
    assert drawn.shape[1:] == view.turned_size
    y, x = np.unravel_index(int((drawn[0] > 0.9).float().argmax()), drawn.shape[1:])
    spot = (float(x) + 1.5, float(y) + 1.5)  # the middle of the four by four pixels, by their edges' rule
    face = view.back(Face(0, 0, (0.0, 0.0, 1.0, 1.0), 1, (spot,) * 5))
    assert abs(face.landmarks[0][0] - 14.5) < 1.1
    assert abs(face.landmarks[0][1] - 10.5) < 1.1


def test_what_lies_outside_is_grey():
    images = torch.ones(1, 3, 8, 8)
    view = view_of(0, (-4, -4, 12, 12), (0, 0, 8, 8), (32, 32))
    drawn = view.draw(images, CPU)
    assert (drawn[:, 8:24, 8:24] == 1).all()
    assert (drawn[:, :8] == 0.5).all()
    assert (view_of(0, (100, 0, 120, 20), (0, 0, 8, 8), (32, 32)).draw(images, CPU) == 0.5).all()


def test_a_window_far_larger_than_the_image_still_shows_a_pixel_of_it():
    drawn = view_of(0, (-2500, -2500, 2501, 7500), (0, 0, 1, 5000), (1280, 640)).draw(torch.ones(1, 3, 5000, 1), CPU)
    assert (drawn > 0.99).sum() == 3 * 640


@pytest.mark.parametrize("size", [(64, 80), (90, 200), (31, 64)])
def test_images_are_enlarged_as_opencv_does(size):
    """facexlib's helper has OpenCV enlarge small photos, and what is found in them depends on it."""
    image = torch.rand(3, 30, 40)
    wanted = cv2.resize(image.permute(1, 2, 0).numpy(), size[::-1], interpolation=cv2.INTER_LANCZOS4).clip(0, 1)
    assert np.abs(resized(image, size).permute(1, 2, 0).numpy() - wanted).max() < 2e-3


def test_what_is_reduced_does_not_alias():
    stripes = torch.zeros(3, 300, 300)
    stripes[:, :, ::2] = 1
    inner = resized(stripes, (107, 107))[:, 5:-5, 5:-5]
    assert (inner - 0.5).abs().max() < 0.06

"""Scenes to learn detection from: what is asked of them, and of which a detector can say what is in them."""

import numpy as np
import pytest
from conftest import ROOT

from osdface_core import RetinaFace
from osdface_core.evaluation.degradation import STRENGTHS, Image
from osdface_core.evaluation.photographs import as_tensor
from osdface_core.files.photos import read_photo
from osdface_core.training.scenes import compose, cut, paste, placed


@pytest.fixture(scope="module")
def portrait() -> Image:
    crop = read_photo(ROOT / "photos" / "astronaut.png").pixels[0, :, 10:266, 96:352]
    return (crop.permute(1, 2, 0).numpy() * 255).astype(np.uint8)


def scene(portrait: Image, seed: int, side: int = 320) -> tuple[Image, Image]:
    return compose(lambda: portrait, side, STRENGTHS["medium"], np.random.default_rng(seed))


def test_the_seed_decides_all_of_a_scene(portrait: Image) -> None:
    for one, other in zip(scene(portrait, 5), scene(portrait, 5), strict=True):
        assert np.array_equal(one, other)
    assert not np.array_equal(scene(portrait, 5)[0], scene(portrait, 6)[0])


@pytest.mark.parametrize("side", [64, 200, 448])
def test_scenes_are_whole_pictures_of_any_side(portrait: Image, side: int) -> None:
    for seed in range(20):
        for image in scene(portrait, seed, side):
            assert image.shape == (side, side, 3)
            assert image.dtype == np.float32
            assert image.min() >= 0
            assert image.max() <= 1


def test_faces_of_many_sizes_are_in_them_and_scenes_without(portrait: Image, detector: RetinaFace) -> None:
    found = [list(detector.detect(as_tensor(scene(portrait, seed)[0])[None])) for seed in range(25)]
    sizes = [face.size for faces in found for face in faces]
    assert min(sizes) < 40
    assert max(sizes) > 150
    assert any(not faces for faces in found)
    assert max(map(len, found)) > 4


def test_a_photograph_lies_where_it_is_placed(portrait: Image) -> None:
    """Its middle at the centre, and nothing beyond its corners changes."""
    image = np.zeros((100, 100, 3), np.float32)
    matrix = placed(len(portrait), 40, np.array([70.0, 30.0]), np.random.default_rng(0))
    assert np.allclose(matrix @ [127.5, 127.5, 1], [70, 30])
    paste(image, np.ones_like(portrait, np.float32), np.ones(portrait.shape[:2], np.float32), matrix)
    assert image[30, 70].tolist() == [1, 1, 1]
    assert not image[:, :35].any()
    assert not image[65:].any()


def test_every_cut_shows_something() -> None:
    for seed in range(50):
        mask = cut(64, np.random.default_rng(seed))
        assert 0.1 < mask.mean() <= 1
        assert mask[32, 32] == pytest.approx(1)

"""Degradation: the same seed, the same picture; stronger recipes lose more."""

import numpy as np
import pytest

from osdface_core import Photo
from osdface_core.evaluation.degradation import STRENGTHS, Degradation, aged, gaussian_kernel, in_grey, turbulent


@pytest.fixture
def face(astronaut: Photo) -> np.ndarray:
    return np.ascontiguousarray(astronaut.pixels[0, :, :256, 96:352].permute(1, 2, 0).numpy())


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_same_seed_gives_the_same_picture_and_another_seed_another(face: np.ndarray) -> None:
    degradation = Degradation(grey=0.5, old=0.5)
    for seed in range(4):
        assert (degradation(face, rng(seed)) == degradation(face, rng(seed))).all()
    assert (degradation(face, rng(1)) != degradation(face, rng(2))).any()


def test_pictures_keep_their_shape_type_and_range_and_the_original_stays_untouched(face: np.ndarray) -> None:
    before = face.copy()
    for change in (Degradation(), Degradation(old=1.0), lambda image, seed: turbulent(image, seed, 1.0), aged):
        for seed in range(4):
            degraded = change(face, rng(seed))
            assert degraded.shape == face.shape
            assert degraded.dtype == np.float32
            assert degraded.min() >= 0
            assert degraded.max() <= 1
            assert np.isfinite(degraded).all()
    assert (face == before).all()


def test_stronger_recipes_lose_more(face: np.ndarray) -> None:
    errors = [
        np.mean([((degradation(face, rng(seed)) - face) ** 2).mean() for seed in range(6)])
        for degradation in (STRENGTHS[name] for name in ("light", "medium", "heavy"))
    ]
    assert errors == sorted(errors)
    assert errors[2] > 3 * errors[0]


def test_no_passes_change_nothing(face: np.ndarray) -> None:
    assert (Degradation(passes=0)(face, rng()) == face).all()


def test_lengths_are_those_of_a_512_pixel_crop(face: np.ndarray) -> None:
    recipe = Degradation(blur=(8, 8), isotropic=1.0)
    full, half = recipe.draw_kernel(rng(), 1.0), recipe.draw_kernel(rng(), 0.5)
    assert len(full) == 41
    assert len(half) == 21
    spread = [
        float((kernel.sum(0) * (np.arange(len(kernel)) - len(kernel) // 2) ** 2).sum()) for kernel in (full, half)
    ]
    assert spread[0] == pytest.approx(4 * spread[1], rel=0.02)


def test_a_kernel_sums_to_one_and_lies_along_its_angle() -> None:
    kernel = gaussian_kernel(21, np.array([4.0, 1.0]), 0.0)
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    assert kernel[10, 14] > 10 * kernel[14, 10]


def test_the_share_of_grey_photos_is_kept(face: np.ndarray) -> None:
    recipe = Degradation(passes=0, grey=0.25)
    grey = [np.ptp(recipe(face, rng(seed)), axis=2).max() == 0 for seed in range(200)]
    assert 0.15 < np.mean(grey) < 0.35
    assert np.ptp(in_grey(face), axis=2).max() == 0


def test_hot_air_bends_more_the_stronger_it_is(face: np.ndarray) -> None:
    errors = [((turbulent(face, rng(), strength) - face) ** 2).mean() for strength in (0.0, 0.3, 1.0)]
    assert errors[0] < 1e-4 < errors[1] < errors[2]


def test_weaker_recipes_lose_less_and_none_of_one_nothing(face: np.ndarray) -> None:
    whole = Degradation(isotropic=1.0, grey=1.0, old=1.0, turbulence=1.0)
    errors = [
        np.mean([((whole.weaker(part)(face, rng(seed)) - face) ** 2).mean() for seed in range(4)])
        for part in (0.0, 0.05, 1.0)
    ]
    assert errors[0] == 0 < errors[1] < errors[2]
    assert (whole.weaker(1.0)(face, rng()) == whole(face, rng())).all()


def test_of_the_photos_that_are_spared_some_stay_as_they_are(face: np.ndarray) -> None:
    small, mild = np.ascontiguousarray(face[::4, ::4]), Degradation(mild=0.5)
    errors = np.array([((mild(small, rng(seed)) - small) ** 2).mean() for seed in range(400)])
    plain = np.array([((Degradation()(small, rng(seed)) - small) ** 2).mean() for seed in range(400)])
    assert (errors == 0).mean() == pytest.approx(0.1, abs=0.05), "a fifth of half of them"
    assert plain.min() > 0
    assert errors.mean() < plain.mean()

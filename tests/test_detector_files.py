"""Files of detectors: which network they hold, and what is said where they hold none."""

import warnings

import pytest
import torch
from facexlib.detection.retinaface import RetinaFace as FacexlibRetinaFace
from safetensors.torch import save_file
from test_detect import ANY_SIZE

from osdface_core import load_detector
from osdface_core.detection.load import find_weights
from osdface_core.errors import NotACheckpointError, ShapeError, WeightsNotFoundError


def test_safetensors_and_pth_are_the_same_detector(shared, detector, astronaut):
    other = load_detector(shared / "weights" / "detection_mobilenet0.25_Final.safetensors")
    assert other.detect(astronaut.pixels) == detector.detect(astronaut.pixels)


def test_resnet50_is_told_from_its_tensors_and_runs(tmp_path):
    with warnings.catch_warnings(action="ignore"):
        network = FacexlibRetinaFace(network_name="resnet50", device=torch.device("cpu"))
    save_file({f"module.{key}": value for key, value in network.state_dict().items()}, tmp_path / "r50.safetensors")
    loaded = load_detector(tmp_path / "r50.safetensors")
    assert loaded.network.config.body == "resnet50"
    assert not len(loaded.detect(torch.rand(1, 3, 64, 64), threshold=1, short_side=ANY_SIZE))


def test_another_network_has_an_effect(tmp_path, astronaut, shared, detector):
    torch.manual_seed(0)
    network = FacexlibRetinaFace(network_name="mobile0.25", device=torch.device("cpu"))
    save_file(network.state_dict(), tmp_path / "untrained.safetensors")
    untrained = load_detector(tmp_path / "untrained.safetensors")
    assert untrained.detect(astronaut.pixels, threshold=0.9) != detector.detect(astronaut.pixels, threshold=0.9)


def test_files_that_are_no_detector_are_named(tmp_path, shared):
    save_file({"weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(NotACheckpointError, match="no RetinaFace"):
        load_detector(tmp_path / "other.safetensors")
    save_file({"body.stage1.0.0.weight": torch.zeros(1)}, tmp_path / "part.safetensors")
    with pytest.raises(NotACheckpointError, match=r"missing.*Get it with"):
        load_detector(tmp_path / "part.safetensors")
    network = FacexlibRetinaFace(network_name="mobile0.25", device=torch.device("cpu")).state_dict()
    network["ssh1.conv3X3.0.weight"] = torch.zeros(1, 2, 3, 3)
    save_file(network, tmp_path / "shape.safetensors")
    with pytest.raises(ShapeError, match=r"ssh1.conv3X3.0.weight is \[1, 2, 3, 3\], expected"):
        load_detector(tmp_path / "shape.safetensors")


def test_a_missing_detector_says_where_to_get_it(tmp_path):
    with pytest.raises(WeightsNotFoundError, match="no such file"):
        load_detector(tmp_path / "nothing.pth")
    for name in ("retinaface_resnet50", "retinaface-resnet50"):
        with pytest.raises(
            WeightsNotFoundError,
            match=r"osdface weights download retinaface-resnet50.*https://github.*models/facedetection",
        ):
            load_detector(name)


def test_the_catalogues_names_and_facexlibs_are_the_same_detectors(shared, monkeypatch):
    file = shared / "weights" / "detection_mobilenet0.25_Final.pth"
    monkeypatch.setattr("osdface_core.detection.load.find", lambda entry: file if "mobile" in entry.name else None)
    assert find_weights("retinaface-mobile0.25") == find_weights("retinaface_mobile0.25") == find_weights(None) == file

"""`osdface doctor` names what is missing, and is content when nothing is."""

import shutil
import sys
from pathlib import Path

import pytest

from osdface_core.cli import main
from osdface_core.diagnosis import installation as doctor
from osdface_core.diagnosis.installation import examine, optional
from osdface_core.weights.catalog import File
from osdface_core.weights.find import is_there, models_folder


def test_what_is_missing_is_named_with_what_to_do(hub, capsys):
    assert main(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    missing = [line.split()[1] for line in lines if line.startswith("!!")]
    assert missing == ["osdface", "sd21-base", "detector"]
    assert sum("osdface weights download" in line for line in lines) == 3
    assert any(line.startswith("ok  torch ") for line in lines)
    assert hub.requests == []


def test_with_a_bundle_and_a_detector_all_is_well(hub, shared):
    for name in ("osdface", "facedetection"):
        (models_folder() / name).mkdir(parents=True)
    (models_folder() / "osdface" / "mine.safetensors").touch()
    detector = "detection_mobilenet0.25_Final.pth"
    shutil.copy(shared / "weights" / detector, models_folder() / "facedetection")
    assert [finding for finding in examine() if finding.todo] == []


def test_a_broken_library_is_named_with_its_reason(tmp_path, monkeypatch):
    (tmp_path / "pyiqa.py").write_text(
        "raise ImportError('it was built for another torch\\nand so on')", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    finding = optional("pyiqa")
    assert finding.says == "cannot be imported."
    assert "it was built for another torch" in finding.todo
    assert "pip install pyiqa" in finding.todo


def test_a_library_that_is_not_there_is_no_fault(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    finding = optional("av")
    assert "For videos, install PyAV: " in finding.says
    assert not finding.todo


def test_a_models_folder_on_a_drive_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setenv("OSDFACE_MODELS", "Z:/models")
    for answer in (lambda _path: False, lambda _path: raise_(OSError(5, "Input/output error"))):
        monkeypatch.setattr(Path, "exists", answer)
        finding = doctor.folder()
        assert "Z:/models cannot be reached" in finding.says
        assert "OSDFACE_MODELS" in finding.todo


def test_files_behind_a_door_that_is_closed_are_not_there(monkeypatch):
    monkeypatch.setattr(Path, "is_file", lambda _path: raise_(PermissionError(13, "Permission denied")))
    assert not is_there(Path("net.pth"), File("net.pth"))


def raise_(error):
    raise error


@pytest.mark.parametrize(("cuda", "todo"), [(None, "Install a PyTorch for CUDA"), ("12.8", "Update the card's driver")])
def test_a_card_that_pytorch_does_not_use_is_named(monkeypatch, cuda, todo):
    monkeypatch.setattr(doctor.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(doctor, "best_device", lambda: "cpu")
    monkeypatch.setattr(doctor.torch.version, "cuda", cuda)
    monkeypatch.setattr(doctor.shutil, "which", lambda _name: None)
    assert doctor.device().todo == ""
    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert doctor.device().todo.startswith(todo)

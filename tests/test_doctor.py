"""`osdface doctor` names what is missing, and is content when nothing is."""

import os
import sys

from osdface_core.cli import main
from osdface_core.doctor import examine, optional
from osdface_core.weights.find import models_folder


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
    os.symlink(shared / "weights" / detector, models_folder() / "facedetection" / detector)
    assert [finding for finding in examine() if finding.todo] == []


def test_a_broken_library_is_named_with_its_reason(tmp_path, monkeypatch):
    (tmp_path / "pyiqa.py").write_text("raise ImportError('it was built for another torch\\nand so on')")
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

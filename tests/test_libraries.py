"""Optional libraries: one sentence where one is missing, and whatever else works without."""

import subprocess
import sys

import pytest
from conftest import ROOT

from osdface_core.errors import MissingLibraryError
from osdface_core.libraries import LIBRARIES, how_to_get, library


def without(monkeypatch, *modules):
    """As if these were not installed."""
    for name in list(sys.modules):
        if name.partition(".")[0] in modules:
            monkeypatch.delitem(sys.modules, name)
    for name in modules:
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_missing_one_is_one_sentence_with_what_it_is_for_and_how_to_get_it(monkeypatch, name):
    without(monkeypatch, name)
    with pytest.raises(MissingLibraryError) as caught:
        library(name)
    says = str(caught.value)
    assert LIBRARIES[name].purpose in says
    assert f"{sys.executable} -m pip install " in says
    assert "No module named" not in says
    assert "\n" not in says


def test_facexlib_is_installed_without_what_it_asks_for(monkeypatch):
    without(monkeypatch, "facexlib")
    assert how_to_get("facexlib").endswith("pip install --no-deps facexlib")
    without(monkeypatch, "cv2")
    assert how_to_get("facexlib").endswith("pip install --no-deps facexlib opencv-python-headless")


def test_without_opencv_facexlib_asks_for_it_alone(monkeypatch):
    without(monkeypatch, "cv2")
    for name in [name for name in sys.modules if name.partition(".")[0] == "facexlib"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(MissingLibraryError, match=r"ArcFace, install OpenCV: .* --no-deps opencv-python-headless$"):
        library("facexlib.parsing.bisenet")


def test_a_python_in_a_folder_with_spaces_can_be_pasted(monkeypatch):
    monkeypatch.setattr(sys, "executable", r"C:\My ComfyUI\python.exe")
    assert r'"C:\My ComfyUI\python.exe" -m pip install' in how_to_get("av")


def test_training_without_its_libraries_ends_before_it_begins(tmp_path):
    script = "import sys; sys.modules['peft'] = None; from osdface_core.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", script, "train", "starter", "-o", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    assert "error: For training, install peft, in a Python that is not ComfyUI's: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()

"""What the system does not let an ordinary user do: each is said, costs no more than it must, and loses nothing."""

import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from conftest import ROOT

from osdface_core import Faces
from osdface_core.cli import main
from osdface_core.errors import WeightsNotFoundError
from osdface_core.weights.find import locate

pytestmark = pytest.mark.usefixtures("messages")

PHOTO = ROOT / "photos" / "astronaut.png"
NOBODY = 65534


@pytest.fixture
def place():
    """A folder in which the test goes on as an ordinary user; a photo is in its `in`."""
    if not hasattr(os, "geteuid"):
        pytest.skip("rights are set by mode here, which this system does not have")
    folder = Path(tempfile.mkdtemp())
    (folder / "in").mkdir()
    shutil.copy(PHOTO, folder / "in" / "a.png")
    (folder / "faces.json").write_text(json.dumps(Faces((), 1, 512, 512).to_json()), encoding="utf-8")
    from huggingface_hub import try_to_load_from_cache  # noqa: F401 (the interpreter may be out of reach from here on)

    restore(folder, folder / "in", "-o", folder / "first")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o777)
    root = os.geteuid() == 0
    try:
        if root:
            os.setegid(NOBODY)
            os.seteuid(NOBODY)
        yield folder
    except PermissionError:
        pytest.skip("this root cannot become an ordinary user")
    finally:
        if root:
            os.seteuid(0)
            os.setegid(0)
        for inner, _, _ in os.walk(folder):
            os.chmod(inner, 0o700)
        shutil.rmtree(folder)


def restore(place, *arguments):
    """No faces are in the photos: their restoration takes no time."""
    return main(["restore", *map(str, arguments), "--faces", str(place / "faces.json")])


def errors(messages):
    return [it.getMessage() for it in messages.records if it.getMessage().startswith("error: ")]


@pytest.mark.parametrize("inner", ["", "new/out"])
def test_an_output_folder_that_must_not_be_written_to_is_said_before_any_work(place, messages, monkeypatch, inner):
    monkeypatch.setattr("osdface_core.cli.restore.open_networks", None)
    locked = place / "locked"
    locked.mkdir(mode=0o555)
    messages.clear()
    assert restore(place, place / "in", "-o", locked / inner) == 1
    assert errors(messages) == [f"error: {locked}: nothing can be written in this folder. Choose another place."]


def test_a_file_that_must_not_be_written_is_one_photos_error(place, messages):
    target = place / "locked" / "x.png"
    target.parent.mkdir(mode=0o555)
    messages.clear()
    assert restore(place, place / "in" / "a.png", "-o", target) == 1
    assert errors(messages) == [f"error: {place / 'in' / 'a.png'}: {target}: cannot be written (Permission denied)."]
    assert not list(target.parent.iterdir())


def test_what_must_not_be_read_is_named_once_and_the_rest_is_done(place, messages):
    locked, folder = place / "in" / "locked.png", place / "in" / "folder"
    folder.mkdir()
    for path in (locked, folder / "b.png"):
        shutil.copy(PHOTO, path)
    locked.chmod(0)
    folder.chmod(0)
    messages.clear()
    assert restore(place, place / "in", "--recursive", "-o", place / "out") == 1
    assert sorted(errors(messages)) == [
        f"error: {folder}: this folder cannot be read (Permission denied)",
        f"error: {locked}: the system does not let it be read (Permission denied).",
    ]
    assert [path.name for path in (place / "out").rglob("*.png")] == ["a.png"]
    messages.clear()
    assert restore(place, folder, "-o", place / "out") == 1
    assert errors(messages) == [f"error: {folder}: Permission denied"]


def test_a_journal_that_must_not_be_read_is_said_and_nothing_is_taken_for_new(place, messages):
    assert restore(place, place / "in", "-o", place / "out") == 0
    before = (place / "out" / "a.png").stat().st_mtime_ns
    journal = place / "out" / ".osdface"
    (part,) = journal.iterdir()
    for path in (part, journal):
        path.chmod(0)
        for command in (
            ["report", place / "out"],
            ["restore", place / "in", "-o", place / "out", "--resume", "--faces", place / "faces.json"],
        ):
            messages.clear()
            assert main([str(it) for it in command]) == 1
            assert errors(messages) == [f"error: {path}: Permission denied"]
    assert (place / "out" / "a.png").stat().st_mtime_ns == before


def test_a_models_folder_that_must_not_be_read_is_said_and_in_nobodys_way(place, monkeypatch):
    models = place / "models"
    models.mkdir(mode=0)
    monkeypatch.setenv("OSDFACE_MODELS", str(models))
    assert restore(place, place / "in", "-o", place / "out") == 0
    with pytest.raises(WeightsNotFoundError, match="models must not be looked into"):
        locate("osdface")


def test_a_folder_for_temporary_files_that_must_not_be_written_to_is_in_nobodys_way(place, monkeypatch):
    (place / "locked").mkdir(mode=0o555)
    monkeypatch.setattr(tempfile, "tempdir", str(place / "locked"))
    assert restore(place, place / "in", "-o", place / "out") == 0
    assert (place / "out" / "a.png").exists()

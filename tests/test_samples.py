"""The photos that come with the pack, where the templates look for them."""

import sys

import pytest
from conftest import ROOT

SAMPLES = sorted(path.name for path in (ROOT / "photos" / "samples").iterdir())


@pytest.fixture
def place(inside, tmp_path, monkeypatch):
    """Places them in an input folder of its own."""
    monkeypatch.setattr(inside.folders, "base", str(tmp_path))
    return sys.modules["pack.nodes.samples"].place_samples


def files(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def test_a_fresh_host_has_them(place, tmp_path):
    place()
    assert files(tmp_path / "input") == SAMPLES
    assert files(tmp_path / "input" / "osdface") == [name for name in SAMPLES if name.endswith(".jpg")]


def test_what_a_user_has_stays(place, tmp_path):
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / SAMPLES[0]).write_text("mine", encoding="utf-8")
    place()
    assert (tmp_path / "input" / SAMPLES[0]).read_text(encoding="utf-8") == "mine"


def test_what_a_user_deletes_does_not_come_back(place, tmp_path):
    place()
    for name in SAMPLES:
        (tmp_path / "input" / name).unlink()
    place()
    assert files(tmp_path / "input") == []


def test_an_input_folder_that_cannot_be_written_to_stops_nothing(place, tmp_path, caplog):
    (tmp_path / "input").write_text("no folder", encoding="utf-8")
    place()
    assert "sample photos could not be put" in caplog.text


def test_they_are_small():
    assert sum((ROOT / "photos" / "samples" / name).stat().st_size for name in SAMPLES) < 250_000

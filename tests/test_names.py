"""Names of files on every system: those that clash, those that Windows refuses, patterns, and what macOS leaves."""

import shutil
import sys
from pathlib import PureWindowsPath

import pytest
from conftest import ROOT

from osdface_core.album.plan import find_clash, find_inputs
from osdface_core.cli import main
from osdface_core.cli.video import frame_files
from osdface_core.errors import ImageError
from osdface_core.files.names import expand, refused_by_windows

PHOTO = ROOT / "photos" / "astronaut.png"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (r"C:\photos\out.png", ""),
        (r"\\server\share\Ünïcode 照片.png", ""),
        (r"..\out.png", ""),
        ("console.png", ""),
        ("NUL", "NUL is a device"),
        (r"C:\out\con.png", "con is a device"),
        ("com1.tar.gz", "com1 is a device"),
        ("LPT¹ .png", "is a device"),
        (r"C:\aux\out.png", "aux is a device"),
        ("out.png:stream", "no ':' in a name"),
        ("what?.png", r"no '\?' in a name"),
        ("a<b>.png", "no '<' in a name"),
        ("out.", "dot or space at a name's end"),
        (r"folder \out.png", "dot or space at a name's end"),
        ("tab\t.png", "in a name"),
    ],
)
def test_names_that_windows_refuses_or_takes_for_something_else(name, reason):
    assert bool(refused_by_windows(PureWindowsPath(name))) == bool(reason)
    if reason:
        with pytest.raises(AssertionError, match=reason):
            raise AssertionError(refused_by_windows(PureWindowsPath(name)))


def test_the_command_refuses_them_on_windows_before_any_work(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(sys, "platform", "win32")
    assert main(["detect", str(PHOTO), "--json", str(tmp_path / "NUL.json")]) == 1
    assert "NUL is a device on Windows" in caplog.text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("twin", ["Anna.PNG", "a\u0308nna.png", "ÄNNA.png"])
def test_outputs_that_are_one_file_elsewhere_clash(twin):
    first = "out/änna.png" if twin != "Anna.PNG" else "out/anna.png"
    assert find_clash(["out/other.png", first, f"out/{twin}"]) == f"out/{twin}"
    assert find_clash(["out/other.png", first, f"elsewhere/{twin}"]) is None


def test_the_command_refuses_a_clash(tmp_path, capsys):
    for folder, name in (("a", "me.png"), ("b", "ME.png")):
        (tmp_path / folder).mkdir()
        shutil.copy(PHOTO, tmp_path / folder / name)
    with pytest.raises(SystemExit):
        main(["restore", str(tmp_path / "a"), str(tmp_path / "b"), "-o", str(tmp_path / "out")])
    assert "several photos would be written to" in capsys.readouterr().err


def test_patterns_are_expanded_where_the_shell_has_not(tmp_path):
    folder = tmp_path / "my [best] photos"
    folder.mkdir()
    for name in ("b.jpg", "a.jpg", "c.png", "._a.jpg"):
        (folder / name).touch()
    assert expand([folder / "*.jpg", folder / "c.png"]) == [folder / "a.jpg", folder / "b.jpg", folder / "c.png"]
    assert expand([folder / "?.png"]) == [folder / "c.png"]
    with pytest.raises(ImageError, match="no file fits this pattern"):
        expand([folder / "*.webp"])


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path):
    odd = tmp_path / "what?.jpg"
    try:
        odd.touch()
    except OSError:
        pytest.skip("no such names on this system")
    (tmp_path / "whats.jpg").touch()
    assert expand([odd]) == [odd]


def test_what_macos_keeps_beside_photos_on_other_disks_is_no_photo(tmp_path):
    for name in ("astronaut.png", "._astronaut.png"):
        (tmp_path / name).touch()
    assert [one.path for one in find_inputs([tmp_path]).inputs] == [str(tmp_path / "astronaut.png")]
    assert frame_files(tmp_path) == [tmp_path / "astronaut.png"]

"""Albums whose names and places are odd: done right, or refused before any work; what was there stays."""

import csv
import json
import os
import sys

import pytest
from PIL import Image

from osdface_core import Faces
from osdface_core.album.journal import DONE, entries
from osdface_core.cli import main

pytestmark = pytest.mark.usefixtures("messages")


@pytest.fixture
def none(tmp_path):
    """A file that says that there are no faces in a photo: its restoration takes no time."""
    path = tmp_path / "none.json"
    path.write_text(json.dumps(Faces((), 1, 64, 64).to_json()), encoding="utf-8")
    return path


def photo(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 64), "teal").save(path)
    return path


def run(*arguments):
    return main([str(argument) for argument in arguments])


def tree(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if ".osdface" not in path.parts
    }


ODD = [
    "new\nline.png",
    "-o.png",
    "--force.png",
    "@list.png",
    "what?.png",
    'a:b<c>|d".png',
    "NUL.png",
    "dot..png",
    " blank .png",
    "[1-9]*.png",
    "\x1b[31mred.png",
    "e\u0301.png",
    "顔😀.png",
    "x" * 251 + ".png",
    "x" * 250 + "z.gif",
]


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="no such names there")
def test_photos_have_any_name_that_the_system_allows(tmp_path, none, messages, capsys):
    names = [*ODD, os.fsdecode(b"latin \xe9.png")]
    for name in names:
        photo(tmp_path / "in" / name)
    out = tmp_path / "out"
    assert run("restore", tmp_path / "in", "-o", out, "--faces", none) == 0
    expected = sorted(name.replace(".gif", ".png") for name in names)
    assert sorted(tree(out)) == expected
    assert {entry.output for entry in entries(out) if entry.state == DONE} == set(expected)
    before = {name: (out / name).stat().st_mtime_ns for name in expected}
    messages.clear()
    assert run("restore", tmp_path / "in", "-o", out, "--faces", none, "--resume") == 0
    assert f"{len(names)} photo(s) are done already, 0 are left" in messages.text
    assert {name: (out / name).stat().st_mtime_ns for name in expected} == before
    assert run("report", out, "--csv", tmp_path / "t.csv", "--html", tmp_path / "page.html") == 0
    assert "\x1b" not in capsys.readouterr().out
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == len(names)


@pytest.mark.skipif(sys.platform == "win32", reason="a name of 255 bytes is another thing there")
@pytest.mark.parametrize("option", ["--report", "--compare"])
def test_a_name_too_long_for_what_lies_beside_an_output_is_said_and_nothing_is_written(
    tmp_path, none, messages, option
):
    long, other = photo(tmp_path / "in" / ("x" * 251 + ".png")), photo(tmp_path / "in" / "a.png")
    assert run("restore", tmp_path / "in", "-o", tmp_path / "out", "--faces", none, option) == 1
    (line,) = [it.getMessage() for it in messages.records if it.getMessage().startswith("error: ")]
    assert line.startswith(f"error: {long}: ")
    assert "name too long" in line
    assert long.name not in tree(tmp_path / "out")
    assert other.name in tree(tmp_path / "out")


@pytest.mark.parametrize("beside", ["--report", "--compare", "faces"])
def test_photos_whose_names_differ_by_their_suffix_alone_are_refused_where_a_file_beside_them_would_be_one(
    tmp_path, none, capsys, beside
):
    for name in ("a.png", "a.jpg"):
        photo(tmp_path / "in" / name)
    command = ["restore", tmp_path / "in", "-o", tmp_path / "out", "--faces"]
    (tmp_path / "faces").mkdir()
    with pytest.raises(SystemExit) as caught:
        run(*command, *([tmp_path / "faces"] if beside == "faces" else [none, beside]))
    assert caught.value.code == 2
    assert "several photos would be written to" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert run(*command, none) == 0
    assert sorted(tree(tmp_path / "out")) == ["a.jpg", "a.png"]


def test_an_input_folder_in_the_output_folder_stays_and_is_found_once(tmp_path, none, messages):
    out = tmp_path / "out"
    source = photo(out / "in" / "deep" / "a.png")
    command = ["restore", out / "in", "-o", out, "--faces", none, "--recursive"]
    before = source.read_bytes()
    assert run(*command) == 0
    assert sorted(tree(out)) == ["deep", "deep/a.png", "in", "in/deep", "in/deep/a.png"]
    assert source.read_bytes() == before
    messages.clear()
    assert run(*command, "--resume") == 0
    assert "1 photo(s) are done already, 0 are left" in messages.text
    assert sorted(tree(out)) == ["deep", "deep/a.png", "in", "in/deep", "in/deep/a.png"]


def test_an_output_folder_in_the_input_folder_is_not_restored_again(tmp_path, none):
    photo(tmp_path / "in" / "a.png")
    command = ["restore", tmp_path / "in", "-o", tmp_path / "in" / "out", "--faces", none, "--recursive"]
    for options in ([], ["--resume"], ["--force"]):
        assert run(*command, *options) == 0
        assert sorted(tree(tmp_path / "in")) == ["a.png", "out", "out/a.png"]


def linked(link, target):
    try:
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(target)
    except OSError:
        pytest.skip("links cannot be made here")


def test_a_photo_behind_a_link_is_read_and_stays(tmp_path, none):
    target = photo(tmp_path / "elsewhere" / "a.png")
    linked(tmp_path / "in" / "link.png", target)
    before = target.read_bytes()
    assert run("restore", tmp_path / "in", "-o", tmp_path / "out", "--faces", none) == 0
    assert not (tmp_path / "out" / "link.png").is_symlink()
    assert target.read_bytes() == before


def test_nothing_is_written_through_a_link_under_an_outputs_name(tmp_path, none, messages):
    source, precious = photo(tmp_path / "in" / "a.png"), photo(tmp_path / "precious.png")
    before = source.read_bytes(), precious.read_bytes()
    command = ["restore", tmp_path / "in", "-o", tmp_path / "out", "--faces", none]
    link = tmp_path / "out" / "a.png"
    linked(link, source)
    assert run(*command, "--force") == 1
    assert "written over itself" in messages.text
    link.unlink()
    linked(link, precious)
    assert run(*command) == 1
    assert "exists already" in messages.text
    assert link.is_symlink()
    assert run(*command, "--force") == 0
    assert not link.is_symlink()
    assert (source.read_bytes(), precious.read_bytes()) == before


def test_an_output_folder_that_is_a_file_is_said_before_any_work(tmp_path, none, messages):
    photo(tmp_path / "in" / "a.png")
    (tmp_path / "file").write_bytes(b"precious")
    for output in (tmp_path / "file", tmp_path / "file" / "out"):
        messages.clear()
        assert run("restore", tmp_path / "in", "-o", output, "--faces", none) == 1
        assert f"error: {tmp_path / 'file'}: this is no folder. Choose another place." in messages.text
    assert (tmp_path / "file").read_bytes() == b"precious"

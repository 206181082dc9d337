"""What the `osdface` command says where something is wrong, and that the rest is done."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import torch
from conftest import ROOT
from PIL import Image
from test_cli import FACES, PHOTO, run

from osdface_core import Faces, load_model
from osdface_core.errors import WeightsError
from osdface_core.files.names import printable
from osdface_core.pipeline import Stages
from osdface_core.weights import save_bundle

pytestmark = pytest.mark.usefixtures("messages")


def test_nothing_is_overwritten_without_force(tmp_path, messages):
    target = tmp_path / "new.png"
    target.write_bytes(b"precious")
    assert run("restore", PHOTO, "-o", target, "--faces", FACES) == 1
    assert target.read_bytes() == b"precious"
    assert "--force" in messages.text
    assert run("restore", PHOTO, "-o", target, "--faces", FACES, "--force") == 0
    assert Image.open(target).size == (512, 512)


def test_not_even_the_report(tmp_path):
    (tmp_path / "new.json").write_text("precious", encoding="utf-8")
    assert run("restore", PHOTO, "-o", tmp_path / "new.png", "--faces", FACES, "--report") == 1
    assert (tmp_path / "new.json").read_text(encoding="utf-8") == "precious"
    assert not (tmp_path / "new.png").exists()


def test_a_bad_file_is_reported_and_the_rest_is_done(tmp_path, messages):
    photos = tmp_path / "photos"
    photos.mkdir()
    shutil.copy(PHOTO, photos / "a.png")
    (photos / "b.png").write_bytes(PHOTO.read_bytes()[:5000])
    shutil.copy(PHOTO, photos / "c.png")
    (photos / "notes.txt").write_text("not a photo", encoding="utf-8")
    faces = tmp_path / "faces"
    faces.mkdir()
    for name in "abc":
        shutil.copy(FACES, faces / f"{name}.json")
    assert run("restore", photos, "-o", tmp_path / "out", "--faces", faces) == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".osdface", "a.png", "c.png"]
    assert "b.png" in messages.text
    assert "1 of 3 photo(s) failed, the rest is done" in messages.text


def test_faces_of_another_photo_are_an_error(tmp_path, messages):
    Image.new("RGB", (100, 100)).save(tmp_path / "small.png")
    assert run("restore", tmp_path / "small.png", "-o", tmp_path / "out", "--faces", FACES) == 1
    assert "Detect the faces again" in messages.text


def test_weights_that_are_wrong_end_the_command_with_a_message(tmp_path, messages):
    assert run("restore", PHOTO, "-o", tmp_path, "--faces", FACES, "--weights", tmp_path / "none.safetensors") == 1
    assert "none.safetensors: there is no such file" in messages.text
    assert run("restore", PHOTO, "-o", tmp_path, "--faces", FACES, "--weights", tmp_path) == 1
    assert "--base" in messages.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--strength", "2"], "between 0 and 1"),
        (["--latent-strength", "-1"], "between 0 and 1"),
        (["--timestep", "1000"], "between 0 and 999"),
        (["--upscale", "0.5"], "between 1 and 8"),
        (["--upscale", "1e20"], "--upscale 1e+20: it must be a number between 1 and 8"),
        (["--batch-size", "0"], "1 or more"),
        (["--strength", "nan"], "between 0 and 1"),
        (["--min-identity", "0.5"], "needs an embedder"),
        (["--leave", "hair"], "a face parser is needed to leave hair alone"),
        (["--min-identity", "5", "--embedder", "arcface"], "between 0 and 1"),
        (["--aligned", "--upscale", "2"], "--upscale: only for whole photos"),
        (["--select", "prettiest"], "nor a rule"),
        (["--person", "her.png"], "needs --embedder"),
        (["-o", "one.png"], "name a folder"),
        (["--wings"], "unrecognized arguments"),
        (["--upscale", "nan"], "between 1 and 8"),
        (["--threshold", "5"], "between 0 and 1"),
        (["--seed", "99999999999999999999999"], "--seed 99999999999999999999999: it must be a whole number between"),
        (["--device", "abacus"], "--device abacus"),
        ([], "several photos would be written to"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_why(tmp_path, capsys, options, message):
    with pytest.raises(SystemExit) as caught:
        run("restore", PHOTO, PHOTO, "-o", tmp_path, *options)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--threshold", "5"], ["--device", "abacus"], ["--max-count", "-1"]])
def test_wrong_usage_of_detect_exits_with_2_too(tmp_path, capsys, wrong):
    with pytest.raises(SystemExit) as caught:
        run("detect", PHOTO, "--json", tmp_path / "faces.json", *wrong)
    assert caught.value.code == 2
    assert f"{wrong[0]} {wrong[1]}" in capsys.readouterr().err


def test_a_photo_that_cannot_be_written_does_not_stop_the_others(tmp_path, messages):
    faces = tmp_path / "faces"
    faces.mkdir()
    for name in ("a", "b", "c"):
        shutil.copy(FACES, faces / f"{name}.json")
    Image.open(PHOTO).save(tmp_path / "a.ppm")
    shutil.copy(PHOTO, tmp_path / "b.png")
    (tmp_path / "out" / "c.png").mkdir(parents=True)
    shutil.copy(PHOTO, tmp_path / "c.png")
    inputs = [tmp_path / name for name in ("a.ppm", "c.png", "b.png")]
    assert run("restore", *inputs, "-o", tmp_path / "out", "--faces", faces, "--force") == 1
    assert (tmp_path / "out" / "b.png").is_file()
    assert "Name the output" in messages.text
    assert "2 of 3 photo(s) failed" in messages.text


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "not enough memory"),
        (MemoryError(), "not enough memory"),
        (KeyError("a bug"), "has a fault (KeyError: 'a bug'; test_cli_errors.py, line"),
        (RecursionError(), "has a fault"),
        (OSError(5, "Input/output error"), "Input/output error"),
        (WeightsError("weights.pth", "are gone.", "Get them."), "weights.pth: are gone"),
    ],
)
def test_whatever_happens_to_one_photo_the_others_are_restored(tmp_path, monkeypatch, messages, error, message):
    paste = Stages.paste

    def fails_once(self, image, *crops):
        if image.shape[-1] == 100:
            raise error
        return paste(self, image, *crops)

    monkeypatch.setattr(Stages, "paste", fails_once)
    faces = tmp_path / "faces"
    faces.mkdir()
    shutil.copy(FACES, faces / "good.json")
    (faces / "bad.json").write_text(json.dumps(Faces((), 1, 100, 100).to_json()), encoding="utf-8")
    Image.new("RGB", (100, 100)).save(tmp_path / "bad.png")
    shutil.copy(PHOTO, tmp_path / "good.png")
    inputs = [tmp_path / "bad.png", tmp_path / "good.png"]
    assert run("restore", *inputs, "-o", tmp_path / "out", "--faces", faces) == 1
    assert (tmp_path / "out" / "good.png").is_file()
    (line,) = [record.getMessage() for record in messages.records if "error: " in record.getMessage()]
    assert line.startswith(f"error: {tmp_path / 'bad.png'}: ")
    assert message in line
    assert "1 of 2 photo(s) failed, the rest is done" in messages.text


def test_what_happens_to_a_photo_in_detection_is_said_of_it(tmp_path, monkeypatch, messages, detector_file):
    def fail(*_arguments, **_options):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("osdface_core.cli.detect.find_faces", fail)
    assert run("detect", PHOTO, "--json", tmp_path / "faces.json", "--detector", detector_file) == 1
    assert f"error: {PHOTO}: " in messages.text
    assert "ZeroDivisionError: a bug" in messages.text
    assert not (tmp_path / "faces.json").exists()


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch, messages):
    def refuse(_path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.iterdir", refuse)
    assert run("restore", tmp_path, "-o", tmp_path / "out") == 1
    assert f"error: {tmp_path}: [Errno 13] Permission denied" in messages.text


def test_faces_that_are_not_there_and_an_empty_folder_are_named(tmp_path, messages):
    assert run("restore", PHOTO, "-o", tmp_path, "--faces", "nowhere.json") == 1
    assert "faces cannot be read" in messages.text
    assert run("restore", tmp_path, "-o", tmp_path) == 1
    assert "There are no photos" in messages.text


NASTY = "a\x1b[2J\x07\rerror: b\nc\u202ed\x9b31m"
"""Clears the screen, rings the bell, overwrites the line, begins a new one, turns the direction, colours."""


@pytest.mark.parametrize("command", ["missing", "damaged", "twice", "notice"])
def test_names_of_files_and_notices_do_not_steer_the_terminal(tmp_path, command):
    photos, option = tmp_path / NASTY, []
    photos.mkdir()
    photo = photos / f"{NASTY}.png"
    if command == "damaged":
        photo.write_bytes(b"\x89PNG\r\n\x1a\n")
    elif command == "twice":
        shutil.copy(PHOTO, photo)
        option = [str(photo)]
    elif command == "notice":
        save_bundle(replace_notice(load_model(), NASTY + "long " * 2000), tmp_path / "bundle.safetensors")
        shutil.copy(PHOTO, photo)
        option = ["--weights", str(tmp_path / "bundle.safetensors")]
    arguments = ["restore", str(photo), *option, "-o", str(tmp_path / "out"), "--faces", str(FACES)]
    done = subprocess.run([sys.executable, "-m", "osdface_core.cli", *arguments], capture_output=True, cwd=ROOT)
    said = done.stderr.decode()
    assert not {"\x1b", "\x07", "\u202e", "\x9b"} & set(said)
    assert "\\x1b[2J" in said
    assert not any(line.startswith(("c", "error: b")) for line in re.split(r"[\r\n]", said))
    assert max(map(len, said.splitlines())) < 3000
    assert done.returncode == {"twice": 2, "notice": 0}.get(command, 1)


def replace_notice(model, notice):
    model.notice = notice
    return model


def test_a_name_that_is_no_text_can_be_said(tmp_path, messages):
    path = tmp_path / os.fsdecode(b"\xff\xfe.png")
    done = subprocess.run(
        [sys.executable, "-m", "osdface_core.cli", "restore", path, "-o", tmp_path], capture_output=True, cwd=ROOT
    )
    assert done.returncode == 1
    assert b"\\udcff\\udcfe.png: there is no such file" in done.stderr


def test_letters_of_all_languages_stay():
    for text in ("größe 顔 写真\u3000一.png", "लोग", "👩"):
        assert printable(text) == text
    assert printable("a\tb\nc") == "a\\tb\\nc"
    assert printable("a\nb", lines=True) == "a\nb"

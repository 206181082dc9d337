"""The `osdface` command, as a person uses it."""

import json
import os
import re
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from conftest import ROOT
from parity.harness import HERE, LIMITS, STRIDE
from PIL import Image
from safetensors.torch import load_file, save_file

from osdface_core import Faces, ImageError, load_detector, load_model
from osdface_core.cli import main
from osdface_core.cli.choice import person_in
from osdface_core.compositing.parsing import PARTS, FaceParser
from osdface_core.errors import WeightsError
from osdface_core.files.names import printable
from osdface_core.pipeline import Stages
from osdface_core.weights import save_bundle

pytestmark = pytest.mark.usefixtures("messages")

PHOTO, FACES = ROOT / "photos" / "astronaut.png", ROOT / "photos" / "astronaut.json"


@pytest.fixture
def detector_file(shared):
    return str(shared / "weights" / "detection_mobilenet0.25_Final.pth")


def run(*arguments):
    return main([str(argument) for argument in arguments])


def test_a_photo_goes_in_and_a_restored_photo_comes_out(tmp_path, messages):
    assert run("restore", PHOTO, "-o", tmp_path / "out", "--faces", FACES, "--report") == 0
    before, after = np.array(Image.open(PHOTO)), np.array(Image.open(tmp_path / "out" / "astronaut.png"))
    report = json.loads((tmp_path / "out" / "astronaut.json").read_text(encoding="utf-8"))
    assert before.shape == after.shape
    changed = (before != after).any(2)
    left, top, right, bottom = report["faces"][0]["box"]
    assert changed[int(top) : int(bottom), int(left) : int(right)].mean() > 0.95
    assert not changed[300:].any()
    assert report["faces"][0]["restored"]
    assert report["summary"] == "1 of 1 face restored"
    assert "starter weights" in messages.text
    assert "1 of 1 face restored" in messages.text


def test_a_photo_before_and_after_lies_beside_the_result(tmp_path, messages):
    out = tmp_path / "large.png"
    assert run("restore", PHOTO, "-o", out, "--faces", FACES, "--upscale", "1.5", "--compare") == 0
    both = np.array(Image.open(tmp_path / "large.compare.jpg").convert("RGB")).astype(int)
    after = np.array(Image.open(out).convert("RGB")).astype(int)
    before = np.array(Image.open(PHOTO).convert("RGB").resize((768, 768), Image.Resampling.BICUBIC)).astype(int)
    assert both.shape == (768, 2 * 768 + 4, 3)
    for half, whole in ((both[:, :768], before), (both[:, -768:], after)):
        assert np.abs(half - whole).mean() < 3
    assert run("restore", PHOTO, "-o", out, "--faces", FACES, "--compare") == 1
    out.unlink()
    assert run("restore", PHOTO, "-o", out, "--faces", FACES, "--compare") == 1
    assert "large.compare.jpg exists already" in messages.text


def test_a_photo_whose_name_is_a_comparison_s_is_refused(tmp_path, capsys):
    for name in ("a.png", "a.compare.jpg"):
        Image.open(PHOTO).convert("RGB").save(tmp_path / name)
    with pytest.raises(SystemExit):
        run("restore", tmp_path, "-o", tmp_path / "out", "--compare")
    assert "several photos would be written to" in capsys.readouterr().err


def test_every_shared_photo_runs_through(shared, tmp_path, detector_file):
    """The main job on real photos with real detection."""
    folders = [shared / "images", shared / "images" / "derived"]
    assert run("restore", *folders, "-o", tmp_path, "--detector", detector_file, "--report") == 0
    photos = [path for folder in folders for path in folder.iterdir() if path.is_file()]
    restored = {}
    for photo in photos:
        out = Image.open(tmp_path / photo.name)
        assert out.size == Image.open(photo).size
        report = json.loads((tmp_path / photo.name).with_suffix(".json").read_text(encoding="utf-8"))
        restored[photo.name] = sum(face["restored"] for face in report["faces"])
    assert len(photos) == 17
    assert restored.pop("group_solvay1927.jpg") == 29
    assert restored.pop("noface_rocket.jpg") == 0
    assert restored.pop("portrait_wh_rot180.jpg") == 0
    assert set(restored.values()) == {1}


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


def test_detect_writes_the_faces_and_restore_takes_them(shared, tmp_path, detector_file):
    photo = shared / "images" / "small_wh_240p.jpg"
    assert run("detect", photo, "--json", tmp_path / "faces.json", "--detector", detector_file) == 0
    faces = Faces.from_json(json.loads((tmp_path / "faces.json").read_text(encoding="utf-8")))
    assert len(faces) == 1
    assert run("detect", photo, "--json", tmp_path / "faces.json", "--detector", detector_file) == 1
    assert run("restore", photo, "-o", tmp_path / "a.png", "--faces", tmp_path / "faces.json") == 0
    assert run("restore", photo, "-o", tmp_path / "b.png", "--detector", detector_file) == 0
    assert (np.array(Image.open(tmp_path / "a.png")) == np.array(Image.open(tmp_path / "b.png"))).all()


def test_faces_of_another_photo_are_an_error(tmp_path, messages):
    Image.new("RGB", (100, 100)).save(tmp_path / "small.png")
    assert run("restore", tmp_path / "small.png", "-o", tmp_path / "out", "--faces", FACES) == 1
    assert "Detect the faces again" in messages.text


def test_orientation_alpha_and_16_bits_survive_the_command(tmp_path):
    values = (np.array(Image.open(PHOTO)).astype(np.uint16)) * 257
    alpha = np.full((512, 512, 1), 30000, np.uint16)
    cv2.imwrite(str(tmp_path / "deep.png"), np.concatenate([values[..., ::-1], alpha], 2))
    assert run("restore", tmp_path / "deep.png", "-o", tmp_path / "out", "--faces", FACES) == 0
    deep = cv2.imread(str(tmp_path / "out" / "deep.png"), cv2.IMREAD_UNCHANGED)
    assert deep.dtype == np.uint16
    assert (deep[..., 3] == 30000).all()
    assert (deep[300:, :, 2::-1] == values[300:]).all()

    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(PHOTO).rotate(90, expand=True).save(tmp_path / "turned.png", exif=exif)
    assert run("restore", tmp_path / "turned.png", "-o", tmp_path / "out", "--faces", FACES) == 0
    turned = np.array(Image.open(tmp_path / "out" / "turned.png"))
    assert (turned[300:] == np.array(Image.open(PHOTO))[300:]).all()


def test_an_enlarged_photo(tmp_path):
    assert run("restore", PHOTO, "-o", tmp_path / "large.jpg", "--faces", FACES, "--upscale", "1.5") == 0
    assert Image.open(tmp_path / "large.jpg").size == (768, 768)


def test_the_photos_colours_on_request(tmp_path):
    for color in ("none", "adain"):
        assert run("restore", PHOTO, "-o", tmp_path / f"{color}.png", "--faces", FACES, "--color", color) == 0
    paths = (PHOTO, tmp_path / "none.png", tmp_path / "adain.png")
    crop = slice(45, 165), slice(165, 285)
    photo, none, adain = (np.array(Image.open(path))[crop].astype(float).mean((0, 1)) for path in paths)
    assert np.abs(adain - photo).max() < 0.6 * np.abs(none - photo).max()


def test_exact_is_the_authors_program_from_their_files_and_from_a_bundle(tiny_weights, tmp_path):
    """The recorded 8-bit file, through `weights convert` and `restore --exact`."""
    base, bundle = tiny_weights / "sd21base", tmp_path / "bundle.safetensors"
    assert run("weights", "convert", tiny_weights / "ckpt", "--base", base, "-o", bundle) == 0
    recorded = load_file(HERE / "figures.safetensors")["s300.png"].int()
    sources = (["--weights", bundle], ["--weights", tiny_weights / "ckpt", "--base", base])
    for number, source in enumerate(sources):
        out = tmp_path / f"{number}.png"
        assert run("restore", HERE / "inputs" / "sq_300.png", "-o", out, "--exact", *source) == 0
        ours = torch.from_numpy(np.array(Image.open(out))).flatten()[::STRIDE].int()
        gap = (ours - recorded).abs()
        assert gap.max() <= 1
        assert (gap > 0).float().mean() <= LIMITS["png"]
    assert (np.array(Image.open(tmp_path / "0.png")) == np.array(Image.open(tmp_path / "1.png"))).all()


def test_an_aligned_face_needs_no_detector(tmp_path, messages):
    Image.open(PHOTO).crop((130, 30, 310, 210)).save(tmp_path / "face.png")
    Image.open(PHOTO).crop((130, 30, 310, 200)).save(tmp_path / "wide.png")
    assert run("restore", tmp_path / "face.png", "-o", tmp_path / "out", "--aligned") == 0
    assert Image.open(tmp_path / "out" / "face.png").size == (256, 256)
    assert run("restore", tmp_path / "wide.png", "-o", tmp_path / "out", "--aligned") == 1
    assert "must be square" in messages.text


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


def test_a_person_is_in_several_photos(tmp_path):
    Image.open(PHOTO).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "mirrored.png")
    photos = [PHOTO, tmp_path / "mirrored.png"]
    person = person_in(photos, load_detector("starter"), 128, "cpu")
    assert person.images.shape == (2, 3, 128, 128)
    assert not torch.equal(person.images[0], person.images[1])
    Image.new("RGB", (200, 200)).save(tmp_path / "nobody.png")
    with pytest.raises(ImageError, match=r"nobody.png: there is no face in it"):
        person_in([*photos, tmp_path / "nobody.png"], load_detector("starter"), 128, "cpu")


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
        (KeyError("a bug"), "has a fault (KeyError: 'a bug'; test_cli.py, line"),
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


def test_faces_that_become_somebody_else_are_kept_from_the_photo(tmp_path, shared):
    embedder = shared / "weights" / "mobilefacenet.safetensors"
    command = ["restore", PHOTO, "-o", tmp_path / "out.png", "--faces", FACES, "--embedder", embedder, "--report"]
    assert run(*command, "--min-identity", 1) == 0
    assert (np.array(Image.open(tmp_path / "out.png")) == np.array(Image.open(PHOTO))).all()
    face = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["faces"][0]
    assert face["reason"] == f"identity {face['identity']:.2f} is below 1.00"
    assert run(*command, "--force") == 0
    assert json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["faces"][0]["restored"]


def test_only_the_faces_that_are_chosen_are_restored(tmp_path, shared, detector_file):
    group = shared / "images" / "group_solvay1927.jpg"
    command = ["restore", group, "-o", tmp_path, "--detector", detector_file, "--report", "--force"]

    def restored(*options):
        assert run(*command, *options) == 0
        return [
            face["index"]
            for face in json.loads((tmp_path / f"{group.stem}.json").read_text(encoding="utf-8"))["faces"]
            if face["restored"]
        ]

    assert restored("--select", "3, 27") == [3, 27]
    assert restored("--select", "leftmost", "--count", 2, "--skip-sharp", 0) == []
    embedder = ["--embedder", shared / "weights" / "mobilefacenet.safetensors"]
    assert restored("--select", "0-3", "--person", PHOTO, *embedder) == []


def test_a_head_alone_changes_less_than_its_square_and_a_parser_keeps_what_is_no_face(tmp_path, messages):
    torch.manual_seed(0)
    parser = FaceParser("parsenet")
    parser.network.out_mask_conv.conv2d.bias.data[PARTS["background"][0]] = 1e6
    save_file(parser.network.state_dict(), tmp_path / "parser.safetensors")
    changed = {}
    for name, options in (
        ("square", ()),
        ("ellipse", ("--shape", "ellipse")),
        ("parsed", ("--parser", tmp_path / "parser.safetensors", "--leave", "hair")),
    ):
        assert run("restore", PHOTO, "-o", tmp_path / f"{name}.png", "--faces", FACES, *options) == 0
        changed[name] = (np.array(Image.open(PHOTO)) != np.array(Image.open(tmp_path / f"{name}.png"))).any(2).sum()
    assert 0 < changed["ellipse"] < 0.8 * changed["square"]
    assert changed["parsed"] == 0
    with pytest.raises(SystemExit):
        run("restore", PHOTO, "-o", tmp_path / "out.png", "--faces", FACES, "--leave", "hair")
    with pytest.raises(SystemExit):
        run("restore", PHOTO, "-o", tmp_path / "out.png", "--aligned", "--shape", "ellipse")


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

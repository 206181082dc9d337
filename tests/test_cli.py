"""The `osdface` command, as a person uses it."""

import json

import cv2
import numpy as np
import pytest
import torch
from conftest import ROOT
from parity.harness import HERE, LIMITS, STRIDE
from PIL import Image
from safetensors.torch import load_file, save_file

from osdface_core import Faces, ImageError, load_detector
from osdface_core.cli import main
from osdface_core.cli.choice import person_in
from osdface_core.compositing.parsing import PARTS, FaceParser

pytestmark = pytest.mark.usefixtures("messages")

PHOTO, FACES = ROOT / "photos" / "astronaut.png", ROOT / "photos" / "astronaut.json"


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


def test_detect_writes_the_faces_and_restore_takes_them(shared, tmp_path, detector_file):
    photo = shared / "images" / "small_wh_240p.jpg"
    assert run("detect", photo, "--json", tmp_path / "faces.json", "--detector", detector_file) == 0
    faces = Faces.from_json(json.loads((tmp_path / "faces.json").read_text(encoding="utf-8")))
    assert len(faces) == 1
    assert run("detect", photo, "--json", tmp_path / "faces.json", "--detector", detector_file) == 1
    assert run("restore", photo, "-o", tmp_path / "a.png", "--faces", tmp_path / "faces.json") == 0
    assert run("restore", photo, "-o", tmp_path / "b.png", "--detector", detector_file) == 0
    assert (np.array(Image.open(tmp_path / "a.png")) == np.array(Image.open(tmp_path / "b.png"))).all()


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


def test_a_person_is_in_several_photos(tmp_path):
    Image.open(PHOTO).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "mirrored.png")
    photos = [PHOTO, tmp_path / "mirrored.png"]
    person = person_in(photos, load_detector("starter"), 128, "cpu")
    assert person.images.shape == (2, 3, 128, 128)
    assert not torch.equal(person.images[0], person.images[1])
    Image.new("RGB", (200, 200)).save(tmp_path / "nobody.png")
    with pytest.raises(ImageError, match=r"nobody.png: there is no face in it"):
        person_in([*photos, tmp_path / "nobody.png"], load_detector("starter"), 128, "cpu")


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

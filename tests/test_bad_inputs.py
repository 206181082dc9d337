"""What a person gives the nodes by mistake: each has its defined result, or an error that says what to do."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT, change
from host.client import DETECTOR, NodeError, Server
from host.graphs import FACE, all_in_one, node, step_by_step
from PIL import Image

from osdface_core import load_model
from osdface_core.weights import save_bundle

ASTRONAUT = np.array(Image.open(ROOT / "photos" / "astronaut.png"))


def steps(image="image", **changes):
    """Every stage in a node of its own, from the node named `image`; FACE is its face."""
    where = {"image": [image, 0]}
    prompt = step_by_step(detect={"boxes": FACE} | where, crop=where, paste=where)
    prompt["odd"] = node("TestOddImage", image=["image", 0], kind="fp16")
    prompt["large"] = node("ImageScaleBy", image=["image", 0], upscale_method="bicubic", scale_by=2.0)
    prompt["two"] = node("ImageBatch", image1=["image", 0], image2=["image", 0])
    prompt["boxes"] = node("OSDFaceDetect", image=["two", 0], detector=["detector", 0], threshold=0.8, boxes=FACE)
    prompt["other"] = node("OSDFaceCrop", image=["image", 0], faces=["select", 1], size=256)
    prompt["match"] = node("OSDFaceMatchColor", restored=["set", 0], source=["crop", 0], method="adain", strength=1.0)
    prompt["compare"] = node("TestCompare", before=[image, 0], after=["paste", 0])
    for name, inputs in changes.items():
        prompt[name]["inputs"] |= inputs
    return prompt


def comparison(outputs):
    return json.loads(outputs["compare"]["text"][0])


def fails(host: Server, prompt, message):
    with pytest.raises(NodeError, match=message):
        host.run(prompt)


# -- images ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("fp16", [1, 512, 512, 3]),
        ("RGBA", [1, 512, 512, 4]),
        ("grey", [1, 512, 512, 3]),
        ("beyond 0..1", [1, 512, 512, 3]),
        ("8K", [1, 4320, 7680, 3]),
    ],
)
def test_an_image_of_any_kind_is_restored_where_its_face_is(host, kind, shape):
    prompt = steps("odd", odd={"kind": kind})
    del prompt["save"], prompt["numbers"]
    about = comparison(host.run(prompt))
    left, top, right, bottom = about["changed"]
    assert 120 < left < 178 < 273 < right < 330
    assert 0 <= top < 58 < 177 < bottom < 300
    assert about["after"] == shape
    assert about["finite"]
    assert about["alpha is kept"]


def test_a_single_pixel_comes_back_as_it_was(host):
    outputs = host.run(steps("odd", odd={"kind": "1x1"}, detect={"boxes": FACE | {"x": 0, "y": 0}}))
    assert comparison(outputs)["after"] == [1, 1, 1, 3]
    found = all_in_one()
    found["odd"] = node("TestOddImage", image=["image", 0], kind="1x1")
    found["restore"]["inputs"]["image"] = ["odd", 0]
    assert host.picture(host.run(found)["save"]).tolist() == ASTRONAUT[:1, :1].tolist()


@pytest.mark.parametrize("kind", ["NaN", "infinite"])
@pytest.mark.parametrize("place", ["detect", "crop", "paste", "set", "mask", "face_masks", "background"])
def test_an_image_that_holds_no_numbers_is_an_error_wherever_it_arrives(host, kind, place):
    odd = {"image": ["odd", 0]}
    prompt = steps(odd={"kind": kind}, **{place: odd} if place in ("detect", "crop", "paste") else {})
    if place == "set":
        prompt["set"]["inputs"]["images"] = ["odd", 0]
    if place in ("mask", "face_masks"):
        prompt["paste"]["inputs"][place] = ["odd", 1]
    if place == "background":
        prompt = all_in_one(background=["odd", 0]) | {"odd": prompt["odd"]}
    fails(host, prompt, "holds NaN or infinite values: the node before it has failed")


def test_a_batch_without_images_is_an_error(host):
    fails(host, steps("odd", odd={"kind": "empty"}), r"got \[0, 3, 512, 512\]")


# -- faces and crops ------------------------------------------------------------------------------------------------


def test_a_photo_without_a_face_comes_back_as_it_was(host):
    outputs = host.run(all_in_one("noface.png", threshold=1.0))
    assert (host.picture(outputs["save"]) == (90, 120, 150)).all()
    assert "no face to restore" in outputs["report"]["text"][0]


@pytest.mark.parametrize("choice", [{"rule": "largest", "count": 0}, {"rule": "these numbers", "numbers": ""}])
def test_choosing_no_face_changes_nothing(host, choice):
    assert comparison(host.run(steps(select=choice)))["changed"] is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"detect": {"boxes": {"x": 900, "y": 900, "width": 9, "height": 9}}}, "does not lie in the image"),
        ({"detect": {"boxes": FACE | {"width": 0}}}, "does not lie in the image"),
        ({"detect": {"boxes": {"x": 1, "y": 2}}}, "no bounding boxes.*width"),
        ({"detect": {"boxes": {"x": "left", "y": 0, "width": 9, "height": 9}}}, "no bounding boxes.*left"),
        ({"detect": {"boxes": 7}}, "no bounding boxes, but a int"),
        ({"detect": {"boxes": ["boxes", 1]}}, "bounding boxes for 2 images, but the batch has 1"),
        ({"detect": {"boxes": FACE, "face_landmarks": {"frames": [[]]}}}, "both connected. Disconnect one"),
        (
            {"detect": {"boxes": None, "face_landmarks": {"frames": [[{"landmarks_xy": [[0, 0]]}]]}}},
            "no face landmarks",
        ),
        ({"select": {"rule": "these numbers", "numbers": "first"}}, "not a face's number"),
        ({"crop": {"image": ["large", 0]}}, "Detect the faces again"),
        ({"prompt": {"crops": ["other", 0]}}, "Encode the prompts of these crops"),
        ({"match": {"source": ["other", 0]}, "paste": {"crops": ["match", 0]}}, "not of the same faces"),
        ({"set": {"images": ["two", 0]}}, "1 face crops, so 1 square images are needed, not 2"),
        ({"set": {"images": ["odd", 0]}, "odd": {"kind": "wide"}}, "1 square images are needed, not 1 of 512x256"),
        ({"paste": {"image": ["two", 0]}}, "faces come from 1 image.s., the background has 2"),
        ({"paste": {"mask": ["odd", 1]}, "odd": {"image": ["two", 0]}}, r"mask must be \[1,512,512\]"),
    ],
)
def test_what_does_not_belong_together_is_an_error_on_its_node(host, changes, message):
    fails(host, steps(**changes), message)


def test_a_mask_of_another_size_is_fitted_to_the_image(host):
    """Load Image gives 64x64 zeros for a photo without transparency: nothing is white, so nothing is restored."""
    assert comparison(host.run(steps(paste={"mask": ["image", 1]})))["changed"] is None


# -- weights --------------------------------------------------------------------------------------------------------


@pytest.fixture
def bundle(host):
    """A bundle in the host's models/osdface."""
    path = host.base / "models" / "osdface" / "mine.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_bundle(load_model(), path)
    yield path
    path.unlink(missing_ok=True)


def test_weights_deleted_between_runs_are_named_and_put_back_they_work_again(host, bundle):
    prompt = all_in_one(threshold=1.0)
    prompt["model"]["inputs"]["weights"] = bundle.name
    host.run(prompt)
    aside = bundle.rename(bundle.with_suffix(".aside"))
    fails(host, prompt, "mine.safetensors.*weights download osdface")
    aside.rename(bundle)
    host.run(prompt)


def test_a_detector_deleted_between_runs_is_named_with_where_to_get_it(host):
    path = host.base / "models" / "facedetection" / DETECTOR
    prompt = all_in_one(threshold=1.0)
    host.run(prompt)
    aside = path.rename(host.base / "aside.pth")  # in the models folder it would be found
    try:
        fails(host, prompt, f"{DETECTOR} into ComfyUI's models/facedetection")
    finally:
        aside.rename(path)
    host.run(prompt)


WEB_PAGE = b"<!DOCTYPE html><title>Sign in</title>"


def spoilt(tensors):
    tensors["vae.decoder.conv_in.bias"][0] = float("nan")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.write_bytes(WEB_PAGE), "not a weights file.*a web page saved under that name"),
        (lambda path: path.write_bytes(b""), "the file is empty. Download or copy it again"),
        (lambda path: os.truncate(path, path.stat().st_size // 2), "ends too early.*Download or copy it again"),
        (lambda path: shutil.copy(path.parents[1] / "facedetection" / DETECTOR, path), "Rename it to .pth"),
        (lambda path: change(path, spoilt), "vae.decoder.conv_in.bias holds NaN or infinite values"),
    ],
    ids=["web page", "empty", "truncated", "a checkpoint renamed", "NaN in a tensor"],
)
def test_weights_that_are_corrupt_are_an_error_and_mended_ones_are_read_again(host, bundle, spoil, message):
    prompt = steps(model={"weights": bundle.name})
    host.run(prompt)
    whole = bundle.read_bytes()
    bundle.unlink()
    bundle.write_bytes(whole)
    spoil(bundle)
    fails(host, prompt, message)
    bundle.write_bytes(whole)
    host.run(prompt)


# -- the disk -------------------------------------------------------------------------------------------------------

SMALL_DISK = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
from osdface_core.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on file sizes on Windows")
@pytest.mark.parametrize("what", ["photo", "report", "bundle"])
def test_a_full_disk_is_an_error_that_leaves_what_was_there(tmp_path, tiny_weights, what):
    """A file may have 500 bytes: a stand-in for a disk that is full."""
    photo = tmp_path / "photo.png"
    Image.fromarray(ASTRONAUT if what == "photo" else ASTRONAUT[:2, :2]).save(photo)
    faces = json.loads((ROOT / "photos" / "astronaut.json").read_text(encoding="utf-8"))
    if what == "report":
        faces |= {"height": 2, "width": 2}
    (tmp_path / "faces.json").write_text(json.dumps(faces), encoding="utf-8")
    kept = tmp_path / {"photo": "out.png", "report": "out.json", "bundle": "out.safetensors"}[what]
    kept.write_bytes(b"from before")
    restore = ["restore", photo, "-o", tmp_path / "out.png", "--faces", tmp_path / "faces.json", "--report", "--force"]
    convert = ["weights", "convert", tiny_weights / "ckpt", "--base", tiny_weights / "sd21base", "-o", kept, "--force"]
    command = [sys.executable, "-c", SMALL_DISK, *map(str, convert if what == "bundle" else restore)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert str(kept) in done.stderr
    assert kept.read_bytes() == b"from before"
    assert not list(tmp_path.glob("*.part"))

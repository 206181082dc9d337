"""Other restorers in ComfyUI: the loader, the small faces' way, and the upscaler's."""

import gc
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, SHARED
from host.client import RESTORER, NodeError
from host.graphs import FACE, all_in_one, node, small_faces, step_by_step, upscaled_by_model
from PIL import Image

ASTRONAUT = np.array(Image.open(ROOT / "photos" / "astronaut.png").convert("RGB"))
LIGHT = {"light": node("OSDFaceLoadRestorer", restorer=RESTORER)}


def light_steps(**changes):
    """One crop restored by the other restorer, without OSDFace's model."""
    prompt = (
        step_by_step(detect={"boxes": FACE}, crop={"size": 512}, restore={"model": ["light", 0]}, **changes) | LIGHT
    )
    for name in ("prompt", "map", "model"):
        del prompt[name]
    del prompt["restore"]["inputs"]["prompt"]
    return prompt


def summary(outputs):
    return json.loads(outputs["report"]["text"][0])["summary"]


def test_it_restores_wherever_an_osdface_model_does(host):
    """The widgets of OSDFace's options are in nobody's way."""
    one = all_in_one() | LIGHT
    one["restore"]["inputs"]["model"] = ["light", 0]
    del one["model"]
    outputs = host.run(one)
    assert summary(outputs) == "1 of 1 face restored"
    changed = (host.picture(outputs["save"]) != ASTRONAUT).any(2)
    assert changed[60:170, 180:270].mean() > 0.9
    assert not changed[300:].any()


def test_what_it_does_not_take_is_named(host):
    for change, says in (
        ({"timestep": 200}, "timestep 200"),
        ({"sample": True}, "seed 0"),
        ({"fidelity": 0.9}, "fidelity 0.9"),
    ):
        prompt = light_steps()
        prompt["restore"]["inputs"] |= change
        with pytest.raises(NodeError, match=f"{says}: this restorer does not take it"):
            host.run(prompt)
    prompt = step_by_step(detect={"boxes": FACE}, prompt={"model": ["light", 0]}) | LIGHT
    with pytest.raises(NodeError, match=r"no visual dictionary and takes no prompt. Connect Load OSDFace Model"):
        host.run(prompt)
    prompt["prompt"]["inputs"]["model"] = ["model", 0]
    prompt["restore"]["inputs"]["model"] = ["light", 0]
    with pytest.raises(NodeError, match="RestoreFormer takes no prompt"):
        host.run(prompt)


@pytest.mark.skipif(not SHARED.is_dir(), reason="no shared data: set OSDFACE_SHARED to its folder")
def test_small_faces_go_to_one_restorer_and_the_rest_to_another(host):
    prompt = small_faces("group_solvay1927.jpg", largest=46)
    prompt["detect"]["inputs"] |= {"min_size": 44, "max_count": 4}
    prompt["numbers small"] = node("PreviewImage", images=["restore small", 1])
    prompt["numbers large"] = node("PreviewImage", images=["restore large", 1])
    outputs = host.run(prompt)
    faces = json.loads(outputs["report"]["text"][0])["faces"]
    restored = [face for face in faces if face["restored"]]
    assert len(restored) == 4
    small = [face for face in restored if max(face["size"]) <= 46]
    assert (len(outputs["numbers small"]["images"]), len(outputs["numbers large"]["images"])) == (
        max(len(small), 1),
        max(4 - len(small), 1),
    )
    assert host.picture(outputs["numbers small"]).shape[0] == 512
    assert host.picture(outputs["numbers large"]).shape[0] == 256


def test_a_face_for_both_restorers_is_an_error(host):
    prompt = small_faces()
    prompt["large"]["inputs"]["faces"] = ["detect", 0]
    prompt["small"]["inputs"]["faces"] = ["detect", 0]
    prompt["join"]["inputs"] |= {"first": ["small", 0], "second": ["large", 0]}
    with pytest.raises(NodeError, match=r"Face 0 of image 0 is in both groups"):
        host.run(prompt)


def test_the_photo_is_enlarged_by_a_model_and_its_face_pasted_into_that(host):
    outputs = host.run(upscaled_by_model())
    assert host.picture(outputs["save"]).shape == (2048, 2048, 3)
    assert summary(outputs) == "1 of 1 face restored"


def test_a_plain_upscaler_among_the_restorers_is_named_with_what_to_do(host):
    folder = host.base / "models"
    wrong = folder / "facerestore_models" / "wrong.safetensors"
    wrong.write_bytes((folder / "upscale_models" / "RealESRGAN_x4plus.safetensors").read_bytes())
    prompt = light_steps()
    prompt["light"]["inputs"]["restorer"] = wrong.name
    with pytest.raises(NodeError, match=r"knows no faces. Give it as --upscaler, or to Load Upscale Model"):
        host.run(prompt)
    wrong.unlink()


def test_a_missing_one_says_where_to_get_it(host):
    prompt = light_steps()
    for file in ("RestoreFormer.pth", "mine.pth"):
        prompt["light"]["inputs"]["restorer"] = file
        with pytest.raises(NodeError, match=r"is not on this machine.*weights download (gfpgan|restoreformer)"):
            host.run(prompt)


def test_files_of_other_formats_and_plain_upscalers_are_not_listed(inside):
    module = sys.modules["pack.nodes.folders"]
    models = Path(inside.folders.models_dir)
    files = ("facerestore_models/GPEN-BFR-512.onnx", "facerestore_models/sub/mine.safetensors")
    files += ("upscale_models/GFPGANv1.3.pth", "upscale_models/codeformer.pth", "upscale_models/4x-UltraSharp.pth")
    for file in files:
        (models / file).parent.mkdir(parents=True, exist_ok=True)
        (models / file).touch()
    assert module.restorer_options() == [
        RESTORER,
        "sub/mine.safetensors",
        "upscale_models/GFPGANv1.3.pth",
        "upscale_models/codeformer.pth",
    ]
    path = module.file_path("facerestore_models", "upscale_models\\GFPGANv1.3.pth")
    assert path == models / "upscale_models" / "GFPGANv1.3.pth"
    for file in files:
        (models / file).unlink()


def test_one_copy_for_all_nodes_let_go_with_the_last(inside):
    runtime = sys.modules["pack.nodes.runtime"]
    loader = inside.ours["OSDFaceLoadRestorer"]
    first, second = (loader.execute(restorer=RESTORER).args[0] for _ in range(2))
    assert first is second
    assert first.at_once(9, batch_size=4) == 1  # in main memory a batch takes more of it, and no less time
    assert not first.resident.partial  # its layers are spandrel's own: it comes to the card as a whole
    del first, second
    gc.collect()
    assert not [key for key in runtime._shared if key[0] == "restorer"]

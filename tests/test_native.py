"""OSDFace on ComfyUI's own SD 2.1, in a real ComfyUI."""

import json

import numpy as np
import pytest
from conftest import ROOT, SHARED
from host.client import NodeError
from host.graphs import FACE, native_route, node, step_by_step
from PIL import Image

ASTRONAUT = np.array(Image.open(ROOT / "photos" / "astronaut.png"))


def native_steps(**changes):
    prompt = native_route() | step_by_step(detect={"boxes": FACE}, crop={"size": 128})
    prompt["model"] = native_route()["model"]
    for name, inputs in changes.items():
        prompt[name]["inputs"] |= inputs
    return prompt


def test_the_face_and_nothing_else_is_restored(native_host):
    prompt = native_steps()
    prompt["before"] = node("PreviewImage", images=["crop", 1])
    prompt["after"] = node("PreviewImage", images=["restore", 1])
    outputs = native_host.run(prompt)
    before, after = native_host.picture(outputs["before"]), native_host.picture(outputs["after"])
    assert after.shape == before.shape == (128, 128, 3)
    assert (after != before).mean() > 0.9
    changed = (native_host.picture(outputs["save"]) != ASTRONAUT).any(2)
    assert changed[60:170, 180:270].mean() > 0.9
    assert not changed[300:].any()
    assert json.loads(outputs["report"]["text"][0])["summary"] == "1 of 1 face restored"


def test_sampling_is_refused_with_what_to_do(native_host):
    with pytest.raises(NodeError, match="seed 0: this restorer does not take it"):
        native_host.run(native_steps(restore={"sample": True}))


def watched_steps(fails=False, **changes):
    prompt = native_steps(**changes)
    prompt["watched"] = node("TestWatchedModel", model=["checkpoint", 0], fails=fails)
    prompt["model"]["inputs"] |= {"model": ["watched", 0]}
    prompt["calls"] = node("TestWatched", after=["restore", 1])
    return prompt


def test_what_other_nodes_hang_on_the_model_acts(native_host):
    """Wrappers, callbacks, attention: that is all TorchCompileModel and its like are. Three frames, singly."""
    stages = {name: {"image": ["frames", 0]} for name in ("detect", "crop", "paste")}
    prompt = watched_steps(restore={"batch_size": 1}, **stages)
    prompt["frames"] = node("RepeatImageBatch", image=["image", 0], amount=3)
    outputs = native_host.run(prompt)
    calls = json.loads(outputs["calls"]["text"][0])
    attention = calls.pop("attention")
    passes = ("on_pre_run", "on_cleanup", "function", "apply_model", "diffusion_model")
    assert calls == dict.fromkeys(passes, 3)
    assert attention >= 3


def test_the_model_is_cleaned_up_after_a_failure_too(native_host):
    prompt = watched_steps(fails=True)
    with pytest.raises(NodeError, match="on purpose"):
        native_host.run(prompt)
    outputs = native_host.run({"image": prompt["image"], "calls": node("TestWatched", after=["image", 0])})
    calls = json.loads(outputs["calls"]["text"][0])
    assert calls["on_pre_run"] == calls["on_cleanup"] == 1


@pytest.mark.skipif(not SHARED.is_dir(), reason="no shared data: set OSDFACE_SHARED to its folder")
def test_one_node_restores_a_photo_on_this_route_too(native_host):
    outputs = native_host.run(native_route())
    changed = (native_host.picture(outputs["save"]) != ASTRONAUT).any(2)
    assert changed[60:170, 180:270].mean() > 0.9
    assert not changed[300:].any()

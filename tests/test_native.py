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
    assert json.loads(outputs["report"]["text"][0])["summary"] == "frame 0: 1 of 1 face(s) restored"


def test_sampling_is_refused_with_what_to_do(native_host):
    with pytest.raises(NodeError, match="turn sample off, or load OSDFace's own model"):
        native_host.run(native_steps(restore={"sample": True}))


@pytest.mark.skipif(not SHARED.is_dir(), reason="no shared data: set OSDFACE_SHARED to its folder")
def test_one_node_restores_a_photo_on_this_route_too(native_host):
    outputs = native_host.run(native_route())
    changed = (native_host.picture(outputs["save"]) != ASTRONAUT).any(2)
    assert changed[60:170, 180:270].mean() > 0.9
    assert not changed[300:].any()

"""One copy of the weights in a ComfyUI process, given back when ComfyUI asks, and taken again without the disk."""

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import SHARED
from host.client import Server, furnish, start_comfyui
from host.graphs import FACE, Prompt, node, restore_faces, step_by_step

from osdface_core.models.osdface import OSDFaceModel
from osdface_core.weights import save_bundle
from osdface_core.weights.starter import load_starter

BUNDLE = "large.safetensors"


@pytest.fixture
def comfyui(tmp_path, monkeypatch):
    """A real ComfyUI of its own, with a bundle that is large where it is cheap to compute."""
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "1000000")  # else glibc keeps what is freed
    if "COMFYUI_PATH" not in os.environ:
        pytest.skip("no ComfyUI: set COMFYUI_PATH to a checkout (and COMFYUI_PYTHON to its Python)")
    if sys.platform != "linux":
        pytest.skip("the memory of a process is read from Linux's /proc")
    furnish(tmp_path, SHARED if SHARED.is_dir() else None)
    folder = tmp_path / "models" / "osdface"
    folder.mkdir()
    config = load_starter().config
    unet = replace(config.unet, block_out_channels=(64, 96, 800))
    save_bundle(OSDFaceModel(replace(config, unet=unet)), folder / BUNDLE)
    server = start_comfyui(tmp_path, Path(os.environ["COMFYUI_PATH"]))
    yield server
    server.stop()


def one_graph(weights: str) -> Prompt:
    """Two loaders, three restore nodes and the all-in-one."""
    prompt = step_by_step(model={"weights": weights}, detect={"boxes": FACE})
    prompt["model2"] = node("OSDFaceLoadModel", weights=weights, base="none", precision="fp32")
    for name, model in (("restore2", "model"), ("restore3", "model2")):
        prompt[name] = node("OSDFaceRestore", **prompt["restore"]["inputs"] | {"model": [model, 0]})
        prompt[f"show {name}"] = node("PreviewImage", images=[name, 1])
    prompt["all"] = restore_faces(threshold=0.5)
    prompt["show all"] = node("PreviewImage", images=["all", 0])
    return prompt


def megabytes(server: Server) -> float:
    """What the process holds in memory."""
    lines = Path(f"/proc/{server.process.pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Rss:")) * 1024 / 1e6


def megabytes_read(server: Server) -> float:
    """What the process has had read from the disk so far."""
    lines = Path(f"/proc/{server.process.pid}/io").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes:")) / 1e6


def free(server: Server) -> None:
    """What the button "Unload Models and Execution Cache" does. ComfyUI collects garbage once in ten seconds."""
    server.post("free", {"unload_models": True, "free_memory": True})
    time.sleep(12)


def measure(server: Server) -> dict[str, float]:
    """Megabytes in memory by what was done, beyond the same work with the small starter."""
    server.run(one_graph("starter (built in)"))
    free(server)
    at_rest = megabytes(server)
    found = {}
    for name in ("first workflow", "second workflow", "freed", "first again"):
        read = megabytes_read(server)
        if name == "freed":
            free(server)
        else:
            prompt = one_graph(BUNDLE)
            if name == "second workflow":
                prompt["restore"]["inputs"]["timestep"] = 300
            server.run(prompt)
        found[name] = megabytes(server) - at_rest
        found[f"{name}, read"] = megabytes_read(server) - read
    return found


def test_weights_are_in_memory_once_and_go_when_comfyui_frees_them(comfyui):
    size = (comfyui.base / "models" / "osdface" / BUNDLE).stat().st_size / 1e6
    found = measure(comfyui)
    assert 0.9 * size < found["first workflow"] < 1.4 * size, found
    assert found["second workflow"] < found["first workflow"] + 0.1 * size, found
    assert found["freed"] < 0.2 * size, found
    assert found["first again"] < found["first workflow"] + 0.1 * size, found
    assert found["first again, read"] < 0.05 * size, found

"""Make the example workflows and their thumbnails, in the real frontend.

python -m host.make_workflows SHARED_DATA [NAME ...]

The native route's is made in a real ComfyUI: COMFYUI_PATH names it.
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from parity import recipe

from .client import ROOT, Server, furnish, start_comfyui, start_standin
from .frontend import open_frontend
from .graphs import (
    FACE,
    STARTER,
    all_in_one,
    loaders,
    native_route,
    node,
    restore_faces,
    small_faces,
    step_by_step,
    video,
)
from .native_files import write_native_files

LOADERS = ["image", "model", "detector"]


def upscaled_background() -> dict[str, Any]:
    prompt = loaders() | {
        "large": node("ImageScaleBy", image=["image", 0], upscale_method="bicubic", scale_by=2.0),
        "restore": restore_faces(background=["large", 0]),
        "save": node("SaveImage", images=["restore", 0], filename_prefix="restored"),
        "before": node("PreviewImage", images=["restore", 2]),
        "after": node("PreviewImage", images=["restore", 3]),
    }
    return prompt


def choose_face() -> dict[str, Any]:
    prompt = step_by_step()
    prompt["select"]["inputs"] |= {"rule": "these numbers", "numbers": "0"}
    for name in ("prompt", "set", "map", "report"):
        del prompt[name]
    del prompt["restore"]["inputs"]["prompt"]
    prompt["paste"]["inputs"]["crops"] = ["restore", 0]
    return prompt


def other_detector() -> dict[str, Any]:
    prompt = choose_face()
    del prompt["select"]
    prompt["boxes"] = node("PrimitiveBoundingBox", **FACE)
    prompt["detect"]["inputs"]["boxes"] = ["boxes", 0]
    prompt["crop"]["inputs"]["faces"] = ["detect", 0]
    return prompt


def without_report(prompt: dict[str, Any]) -> dict[str, Any]:
    return {name: node for name, node in prompt.items() if name != "report"}


WORKFLOWS: dict[str, tuple[dict[str, Any], list[list[str]]]] = {
    "restore_photo": (all_in_one(), [LOADERS, ["restore"], ["save"], ["report"]]),
    "choose_face": (
        choose_face(),
        [LOADERS, ["detect", "numbers"], ["select", "crop"], ["restore"], ["paste"], ["save"]],
    ),
    "other_detector": (
        other_detector(),
        [LOADERS, ["boxes", "detect", "numbers"], ["crop", "restore"], ["paste"], ["save"]],
    ),
    "upscaled_background": (
        upscaled_background(),
        [LOADERS, ["large", "restore"], ["save"], ["before", "after"]],
    ),
    "step_by_step": (
        without_report(step_by_step()),
        [LOADERS, ["detect", "numbers"], ["select", "crop"], ["prompt", "map"], ["restore", "set"], ["paste", "save"]],
    ),
    "video_tracking": (
        video(),
        [LOADERS, ["frames", "detect", "track"], ["crop", "steady", "restore"], ["paste", "create"], ["save"]],
    ),
    "small_faces": (
        without_report(small_faces()),
        [
            ["image", "model", "light", "detector"],
            ["detect", "select"],
            ["small", "large"],
            ["restore small", "restore large"],
            ["join", "paste"],
            ["save"],
        ],
    ),
    "native_route": (native_route(), [["image", "checkpoint", "detector"], ["model", "restore"], ["save"], ["report"]]),
}
IN_COMFYUI = {"native_route"}


def make(names: list[str], start: Callable[[Path], Server]) -> None:
    """Make these workflows in a host of their own."""
    if not names:
        return
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        furnish(base, Path(sys.argv[1]))
        if IN_COMFYUI.intersection(names):
            recipe.write_weights("tiny", base / "tiny")
            write_native_files(base / "models", base / "tiny")
        server = start(base)
        for name in names:
            prompt, columns = WORKFLOWS[name]
            prompt["detector"]["inputs"]["detector"] = STARTER  # so that it runs as it is on any machine
            with open_frontend(server, 1280, 720) as frontend:
                workflow = frontend.build(prompt, columns)
                target = ROOT / "workflows" / f"{name}.json"
                target.write_text(json.dumps(workflow, indent=1) + "\n", encoding="utf-8", newline="\n")
                if name not in IN_COMFYUI:  # whose weights are random here: its picture is of the graph before a run
                    frontend.run()
                frontend.screenshot(target.with_suffix(".jpg"))
        server.stop()


if __name__ == "__main__":
    chosen = sys.argv[2:] or list(WORKFLOWS)
    make([name for name in chosen if name not in IN_COMFYUI], start_standin)
    if "COMFYUI_PATH" in os.environ:
        checkout = Path(os.environ["COMFYUI_PATH"])
        make([name for name in chosen if name in IN_COMFYUI], lambda base: start_comfyui(base, checkout))

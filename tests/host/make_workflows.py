"""Make the example workflows and their thumbnails, in the real frontend.

python -m host.make_workflows SHARED_DATA [NAME ...]
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from .client import ROOT, furnish, start_standin
from .frontend import open_frontend
from .graphs import all_in_one, loaders, node, restore_faces, step_by_step, video

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


def without_report(prompt: dict[str, Any]) -> dict[str, Any]:
    return {name: node for name, node in prompt.items() if name != "report"}


WORKFLOWS: dict[str, tuple[dict[str, Any], list[list[str]]]] = {
    "restore_photo": (all_in_one(), [LOADERS, ["restore"], ["save"], ["report"]]),
    "choose_face": (
        choose_face(),
        [LOADERS, ["detect", "numbers"], ["select", "crop"], ["restore"], ["paste"], ["save"]],
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
}

if __name__ == "__main__":
    base = Path(tempfile.mkdtemp())
    furnish(base, Path(sys.argv[1]))
    server = start_standin(base)
    for name in sys.argv[2:] or WORKFLOWS:
        prompt, columns = WORKFLOWS[name]
        with open_frontend(server, 1280, 720) as frontend:
            workflow = frontend.build(prompt, columns)
            target = ROOT / "workflows" / f"{name}.json"
            target.write_text(json.dumps(workflow, indent=1) + "\n")
            frontend.run()
            frontend.screenshot(target.with_suffix(".jpg"))
    server.stop()

"""Make the blueprints, in the real frontend: nodes of which each is a whole graph.  python -m host.make_blueprints"""

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from .client import ROOT, start_standin
from .frontend import Frontend, open_frontend
from .graphs import Prompt, loaders, node, restore_faces, video
from .make_templates import about_pack, write
from .templates import PORTRAIT, by_hand

FOLDER = ROOT / "subgraphs"
WRAP = """
([ends, name, description, promoted]) => {
  const inner = app.graph._nodes.filter(node => !ends.includes(Number(node.id)));
  const {subgraph, node} = app.graph.convertToSubgraph(new Set(inner));
  subgraph.name = node.title = name;
  subgraph.description = description;
  for (const input of subgraph.inputs.filter(input => input.type != 'IMAGE')) subgraph.removeInput(input);
  for (const [type, widget] of promoted) {
    const owner = subgraph._nodes.find(node => node.type == type);
    const slot = owner.inputs.find(input => input.widget?.name == widget);
    subgraph.addInput(widget, slot.type).connect(slot, owner);
  }
  node.setSize([Math.max(node.computeSize()[0], 320), node.computeSize()[1]]);
  return app.graph.serialize();
}
"""


class Blueprint(NamedTuple):
    prompt: Prompt
    columns: list[list[str]]
    """Where its nodes stand; the others bring its image and take its result."""
    description: str
    promoted: list[tuple[str, str]]
    """The widgets that it shows, each by its node's type and its name."""


def photo() -> Prompt:
    prompt = by_hand(loaders(PORTRAIT) | {"restore": restore_faces()}, "restore")
    return {name: part for name, part in prompt.items() if name != "compare"}


def frames() -> Prompt:
    prompt = by_hand(video(), "paste") | {"image": node("LoadImage", image=PORTRAIT)}
    for name in ("detect", "track", "crop", "paste"):
        prompt[name]["inputs"]["image"] = ["image", 0]
    return {name: part for name, part in prompt.items() if name not in ("frames", "create", "compare")}


BLUEPRINTS = {
    "Restore Old Photo": Blueprint(
        photo(),
        [["model", "detector"], ["restore"]],
        "Finds the faces in a photo, restores them and pastes them back.",
        [
            ("OSDFaceLoadModel", "weights"),
            ("OSDFaceLoadDetector", "detector"),
            ("OSDFaceRestoreFaces", "strength"),
            ("OSDFaceRestoreFaces", "color"),
        ],
    ),
    "Restore Faces in Video": Blueprint(
        frames(),
        [["model", "detector"], ["detect", "track"], ["crop", "steady"], ["restore"], ["paste"]],
        "Restores the faces in a video's frames: followed through it, so that they neither tremble nor flicker.",
        [
            ("OSDFaceLoadModel", "weights"),
            ("OSDFaceLoadDetector", "detector"),
            ("OSDFaceTrack", "smoothing"),
            ("OSDFacePaste", "strength"),
        ],
    ),
}


def make(frontend: Frontend, name: str, blueprint: Blueprint) -> dict[str, Any]:
    """A workflow of one node, as the frontend saves blueprints."""
    frontend.build(blueprint.prompt, blueprint.columns)
    number = {key: count for count, key in enumerate(blueprint.prompt, 1)}
    ends = [number["image"], number["save"]]
    promoted = [list(pair) for pair in blueprint.promoted]
    workflow = frontend.page.evaluate(WRAP, [ends, name, blueprint.description, promoted])
    (graph,) = workflow["definitions"]["subgraphs"]
    graph["category"] = "OSDFace"
    (whole,) = (node for node in workflow["nodes"] if node["type"] == graph["id"])
    for slot in whole["inputs"]:
        slot["link"] = None
    for slot in whole["outputs"]:
        slot["links"] = []
    for part in (whole, *graph["nodes"]):
        part["properties"] |= about_pack()
    whole["pos"] = [0, 0]
    return workflow | {"nodes": [whole], "links": [], "extra": {}}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        server = start_standin(Path(folder))
        with open_frontend(server, 1280, 720) as frontend:
            for name, blueprint in BLUEPRINTS.items():
                write(FOLDER / f"{name}.json", make(frontend, name, blueprint))
        server.stop()


if __name__ == "__main__":
    main()

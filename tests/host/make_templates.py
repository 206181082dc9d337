"""Make the templates' files, in the real frontend:  python -m host.make_templates [TITLE ...]"""

import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from .client import ROOT, start_standin
from .frontend import Frontend, open_frontend
from .layout import place
from .notes import note
from .templates import MODELS, TEMPLATES, Template

FOLDER = ROOT / "workflows"
CORE = {"cnr_id": "comfy-core", "ver": "0.33.0"}
NOTE = "MarkdownNote"
TITLES = {"before": "Faces before", "after": "Faces after", "numbers": "Their numbers", "map": "What the VRE saw"}
"""Of the previews, by their names in the prompt."""
ADD_NOTE = """
text => {
  const note = LiteGraph.createNode('MarkdownNote');
  note.title = 'Read me';
  app.graph.add(note);
  note.widgets[0].value = text;
  return note.id;
}
"""
SIZES = """
() => {
  for (const node of app.graph._nodes) {
    const [width, height] = node.computeSize();
    const shows = /^(Load(Image|Video)|Save.*|Preview.*|ImageCompare)$/.test(node.type);
    const says = node.type.startsWith('OSDFace') ? 60 : 0;  // after a run
    node.setSize([Math.max(width, 300), shows ? Math.max(height, 340) : height + says]);
    if (node.type == 'MarkdownNote') node.setSize([340, 300]);
  }
  return app.graph.serialize();
}
"""


def about_pack() -> dict[str, str]:
    """How the registry knows this pack."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = dict(re.findall(r'^(name|version) = "(.+)"', text, re.MULTILINE))
    return {"cnr_id": found["name"], "ver": found["version"]}


def make(frontend: Frontend, title: str, template: Template) -> dict[str, Any]:
    """The workflow to share."""
    frontend.build(template.prompt, [])
    number = {name: count for count, name in enumerate(template.prompt, 1)}
    number["note"] = int(frontend.page.evaluate(ADD_NOTE, note(title)))
    workflow = frontend.page.evaluate(SIZES)
    place(workflow, [[number[name] for name in column] for column in template.columns])
    names = {count: name for name, count in number.items()}
    for node in workflow["nodes"]:
        if node["type"] == "PreviewImage":
            node["title"] = TITLES[names[node["id"]]]
        kind = node["type"]
        if kind != NOTE:
            node["properties"] |= about_pack() if kind.startswith("OSDFace") else CORE
        if kind in MODELS:
            node["properties"]["models"] = [
                dict(zip(("name", "url", "directory"), model, strict=True)) for model in MODELS[kind]
            ]
    workflow["extra"] = {}
    if template.app:
        inputs = [[number[name], widget] for name, widget in template.app["inputs"]]
        outputs = [number[name] for name in template.app["outputs"]]
        workflow["extra"] = {"linearData": {"inputs": inputs, "outputs": outputs}}
    return workflow


def write(path: Path, workflow: dict[str, Any]) -> None:
    """A workflow as a file: the same bytes whenever it is made. The frontend draws its identifiers by chance."""
    drawn = dict.fromkeys(re.findall(r"\"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\"", json.dumps(workflow)))
    text = json.dumps(workflow, indent=1) + "\n"
    for number, identifier in enumerate(drawn):
        text = text.replace(identifier, str(uuid5(NAMESPACE_URL, f"{path.name} {number}")))
    path.write_text(text, encoding="utf-8", newline="\n")


def main(titles: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = start_standin(Path(folder))
        with open_frontend(server, 1280, 720) as frontend:
            for title in titles or TEMPLATES:
                write(FOLDER / f"{title}.json", make(frontend, title, TEMPLATES[title]))
        server.stop()


if __name__ == "__main__":
    main(sys.argv[1:])

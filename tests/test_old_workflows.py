"""The workflow files of version 0.1, kept as they were, open with the same values: a file names them by place alone."""

import json

import pytest
from conftest import ROOT

FILES = sorted((ROOT / "tests" / "workflows_0_1").glob("*.json"))
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}


def named_values(node):
    """A node's values by the widgets that the file itself names beside them."""
    names = [slot["name"] for slot in node["inputs"] if "widget" in slot]
    values = dict(zip(names, node.get("widgets_values") or [], strict=True))
    return {name: value for name, value in values.items() if name != "upload"}  # a button


def prompt_of(workflow):
    """What the frontend sends to be run."""
    sources = {link[0]: [str(link[1]), link[2]] for link in workflow["links"]}
    return {
        str(node["id"]): {
            "class_type": node["type"],
            "inputs": named_values(node)
            | {slot["name"]: sources[slot["link"]] for slot in node["inputs"] if slot.get("link") is not None},
        }
        for node in workflow["nodes"]
    }


def widgets_of(about):
    """The widgets in the order in which a frontend makes them, with what they allow."""
    groups = (about["input"].get(group, {}) for group in ("required", "optional"))
    slots = {name: slot for group in groups for name, slot in group.items()}
    return {name: slot for name, slot in slots.items() if slot[0] in WIDGETS and not slot[1].get("forceInput")}


def test_all_seven_are_kept():
    assert len(FILES) == 7


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_old_file_opens_with_the_same_values_and_is_accepted(inside, path):
    workflow, info = json.loads(path.read_text(encoding="utf-8")), inside.object_info()
    for node in workflow["nodes"]:
        if not node["type"].startswith("OSDFace"):
            continue
        then, now = named_values(node), widgets_of(info[node["type"]])
        assert list(now)[: len(then)] == list(then), node["type"]  # new widgets come last
        for name, value in then.items():
            kind, about = now[name]
            if kind in ("INT", "FLOAT"):
                assert about["min"] <= value <= about["max"], (node["type"], name)
            elif kind == "COMBO" and not name.startswith(("weights", "base", "detector")):  # which name files
                assert value in about["options"], (node["type"], name)
    if path.stem != "native_route":  # whose files the stand-in does not have
        assert not inside.validate(prompt_of(workflow))


def test_an_old_file_runs(inside):
    workflow = json.loads((ROOT / "tests" / "workflows_0_1" / "restore_photo.json").read_text(encoding="utf-8"))
    shown = inside.execute(prompt_of(workflow), lambda *_: None)
    texts = [text for output in shown.values() for text in output.get("text", [])]
    assert any("1 of 1 face restored" in text for text in texts)

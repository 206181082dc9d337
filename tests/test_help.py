"""Every node has a help page and texts in every language, and they name what the node has."""

import json
import re

import pytest
from conftest import ROOT
from host.record_object_info import RECORD

NODES = {
    node
    for path in sorted((ROOT / "nodes").glob("*.py"))
    for node in re.findall(r'node_id="(\w+)"', path.read_text(encoding="utf-8"))
}
LANGUAGES = ("en", "zh", "ja")
TEXTS = {
    language: json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text("utf-8")) for language in LANGUAGES
}


def names_in_table(page, title):
    """The first cell of every row below the header, in the table under a title."""
    section = page.split(f"\n## {title}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `(.+?)` \|", section, re.MULTILINE)


def names(slots):
    return [slot["name"] for slot in slots.values()]


def leaves(value):
    return [leaf for part in value.values() for leaf in leaves(part)] if isinstance(value, dict) else [value]


@pytest.mark.parametrize("node", sorted(NODES))
def test_the_help_page_names_every_input_and_output(node):
    page = (ROOT / "web" / "docs" / f"{node}.md").read_text("utf-8")
    text = TEXTS["en"][node]
    assert page.splitlines()[0] == f"# {text['display_name']}"
    assert sorted(names_in_table(page, "Inputs")) == sorted(names(text["inputs"]))
    assert names_in_table(page, "Outputs") == names(text["outputs"])


def test_the_pictures_of_the_pages_are_there_and_small():
    """Made by tests/host/make_pictures.py."""
    folder = ROOT / "web" / "docs"
    pages = "".join(page.read_text("utf-8") for page in folder.glob("*.md"))
    named = set(re.findall(r"\((pictures/.+?)\)", pages))
    assert named == {f"pictures/{path.name}" for path in (folder / "pictures").iterdir()}
    assert named == {f"pictures/{node}.webp" for node in NODES}
    assert max((folder / name).stat().st_size for name in named) < 60_000


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_every_text(language):
    assert TEXTS[language].keys() == NODES
    for node, text in TEXTS[language].items():
        english = TEXTS["en"][node]
        assert text.keys() == english.keys() == {"display_name", "description", "inputs", "outputs"}, node
        assert text["inputs"].keys() == english["inputs"].keys(), node
        assert text["outputs"].keys() == english["outputs"].keys(), node
        assert all(slot.keys() == {"name", "tooltip"} for slot in text["inputs"].values()), node
        assert all(leaf.strip() for leaf in leaves(text)), node


def test_english_is_what_the_nodes_say():
    """The record is compared with the nodes themselves in test_object_info.py."""
    for node, about in json.loads(RECORD.read_text("utf-8")).items():
        text = TEXTS["en"][node]
        assert (text["display_name"], text["description"]) == (about["display_name"], about["description"])
        assert names(text["outputs"]) == about["output_name"]
        groups = (group for kind, group in about["input"].items() if kind != "hidden")
        for name, (_, options) in (item for group in groups for item in group.items()):
            assert text["inputs"][name]["tooltip"] == options["tooltip"], (node, name)


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_every_tooltip_is_translated(language):
    for node, text in TEXTS[language].items():
        for name, slot in text["inputs"].items():
            assert slot["tooltip"] != TEXTS["en"][node]["inputs"][name]["tooltip"], (node, name)

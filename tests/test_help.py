"""Every node has a help page and texts in every language, and they name what the node has."""

import json
import re

import pytest
from conftest import ROOT
from host.make_texts import LANGUAGES, made, translations, untranslated

NODES = {
    node
    for path in sorted((ROOT / "nodes").glob("*.py"))
    for node in re.findall(r'node_id="(\w+)"', path.read_text(encoding="utf-8"))
}
TEXTS = json.loads((ROOT / "locales" / "en" / "nodeDefs.json").read_text("utf-8"))


def names_in_table(page, title):
    """The first cell of every row below the header, in the table under a title."""
    section = page.split(f"\n## {title}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `(.+?)` \|", section, re.MULTILINE)


def names(slots):
    return [slot["name"] for slot in slots.values()]


@pytest.mark.parametrize("node", sorted(NODES))
def test_the_help_page_names_every_input_and_output(node):
    page = (ROOT / "web" / "docs" / f"{node}.md").read_text("utf-8")
    text = TEXTS[node]
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


def test_what_is_made_of_the_schemas_is_up_to_date(inside):
    for path, text in made(inside.object_info()):
        assert path.read_text("utf-8") == text, f"{path} is stale: run `python -m host.make_texts` in tests/"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_english_text_has_one_translation(inside, language):
    assert not untranslated(inside.object_info(), language)
    for text, translation in translations(language).items():
        assert " " not in text or text != translation, text  # names such as VAE may be the same


def test_missing_and_surplus_translations_are_named(inside):
    info = {"OSDFaceCrop": inside.object_info()["OSDFaceCrop"] | {"description": "Cuts with scissors."}}
    problems = untranslated(info, "ja")
    assert "locales/ja/texts.json lacks 'Cuts with scissors.'" in problems
    assert "locales/ja/texts.json has 'strength', which nothing says" in problems

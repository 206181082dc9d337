"""The templates: a first click on a fresh host gives a picture, and nothing in them is hidden or unknown."""

import json

import pytest
from conftest import ROOT, running
from host.frontend import CHROMIUM, open_frontend
from host.layout import hidden_links, overlaps
from host.make_templates import CORE, NOTE, TITLES, about_pack
from host.notes import note as written
from host.templates import MODELS, TEMPLATES
from PIL import Image

FILES = sorted((ROOT / "workflows").glob("*.json"))
AT_ONCE = [title for title, template in TEMPLATES.items() if not template.needs]
SAVES = {"SaveImage", "SaveVideo"}
SHOWN = """
app.graph._nodes.filter(n => n.type.startsWith('Save'))
  .every(n => n.imgs?.length > 0 || n.videoContainer?.querySelector('video') || app.nodeOutputs[n.id]?.images?.length)
"""
RED = "app.graph._nodes.filter(n => n.has_errors).map(n => n.type)"


def read(title):
    return json.loads((ROOT / "workflows" / f"{title}.json").read_text(encoding="utf-8"))


def test_every_template_has_a_file_and_a_square_picture():
    assert {path.stem for path in FILES} == set(TEMPLATES)
    for title in TEMPLATES:
        width, height = Image.open(ROOT / "workflows" / f"{title}.jpg").size
        assert width == height == 400


@pytest.mark.parametrize("title", TEMPLATES)
def test_a_template_can_be_read_at_a_glance(title):
    workflow = read(title)
    assert hidden_links(workflow) == []
    assert overlaps(workflow) == []
    (note,) = (node for node in workflow["nodes"] if node["type"] == NOTE)
    assert note["widgets_values"] == [written(title)]
    assert all(node["title"] in TITLES.values() for node in workflow["nodes"] if node["type"] == "PreviewImage")


@pytest.mark.parametrize("title", TEMPLATES)
def test_a_template_names_the_packs_and_files_that_it_needs(title):
    for node in read(title)["nodes"]:
        if node["type"] != NOTE:
            known = about_pack() if node["type"].startswith("OSDFace") else CORE
            assert known.items() <= node["properties"].items()
        if node["type"] in MODELS:
            (model,) = node["properties"]["models"]
            assert model["name"] in node["widgets_values"]
            assert model["url"].startswith("https://huggingface.co/")
            assert model["name"] in written(title)


@pytest.mark.parametrize("title", TEMPLATES)
def test_a_template_saves_what_it_makes_and_compares_it(title):
    nodes = {node["id"]: node for node in read(title)["nodes"]}
    (save,) = (node for node in nodes.values() if node["type"] in SAVES)
    assert save["widgets_values"][0] == "restored"
    assert any(node["type"] == "ImageCompare" for node in nodes.values())
    app = read(title)["extra"].get("linearData")
    if app:
        assert app["outputs"] == [save["id"]]
        for key, widget in app["inputs"]:
            assert any(slot["name"] == widget and "widget" in slot for slot in nodes[key]["inputs"])


@pytest.fixture(scope="module", params=["stand-in", "ComfyUI"])
def fresh(request, tmp_path_factory):
    """A host in which there is nothing but the pack."""
    with running(request.param, tmp_path_factory.mktemp("fresh")) as server:
        yield server


@pytest.fixture(scope="module", params=[False, True], ids=["drawn", "Nodes 2.0"])
def page(fresh, request):
    """Its page, with nodes drawn on a canvas or made of the page's elements."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    fresh.post("settings/Comfy.VueNodes.Enabled", request.param)
    with open_frontend(fresh) as frontend:
        yield frontend


@pytest.mark.parametrize("title", TEMPLATES)
def test_a_template_runs_on_the_first_click(page, title):
    workflow = read(title)
    page.open(workflow, title)
    assert page.missing() == []
    if title not in AT_ONCE:
        return
    assert page.page.evaluate(RED) == []
    assert page.page.get_by_test_id("error-overlay").count() == 0
    posted = page.run()["prompt"]
    kinds = {node["type"] for node in workflow["nodes"]} - {NOTE}
    assert {node["class_type"] for node in posted.values()} == kinds
    page.page.wait_for_function(SHOWN, timeout=120_000)
    assert page.page.evaluate(RED) == []

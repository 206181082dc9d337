"""ComfyUI's real frontend in real Chromium: what a person sees and does."""

import json

import pytest
from conftest import ROOT, SHARED
from host import graphs
from host.frontend import CHROMIUM, open_frontend
from host.graphs import step_by_step
from host.make_blueprints import BLUEPRINTS
from playwright.sync_api import expect

import osdface_core

if CHROMIUM is None:
    pytest.skip("no Chromium on this machine", allow_module_level=True)

NOTICE = osdface_core.load_model().notice
CHANGES = "app.extensionManager.workflow.activeWorkflow.changeTracker"


def template(title):
    return json.loads((ROOT / "workflows" / f"{title}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def tab(host):
    """One for all: its page takes longer to load than most of what is done in it."""
    with open_frontend(host) as opened:
        yield opened


@pytest.fixture
def frontend(tab):
    tab.clear()
    return tab


@pytest.fixture
def stale(tab):
    """Afterwards there is more to clear than a graph: what was opened beside it, or other settings."""
    yield
    tab.stale = True


@pytest.mark.parametrize("wish", ["old photo", "restore face", "人脸修复", "顔復元"])
def test_a_node_is_found_by_searching_for_what_one_wants(frontend, wish):
    frontend.search(wish)
    expect(frontend.page.get_by_text("Face Restore (OSDFace)").first).to_be_visible()


def test_the_node_that_does_it_all_comes_first_of_those_for_faces(frontend):
    frontend.search("face")
    expect(frontend.page.get_by_test_id("result-item").first).to_contain_text("Face Restore (OSDFace)")


OUTPUT = """
() => {
  const [x, y] = app.graph._nodes.at(-1).getConnectionPos(false, 0), {scale, offset} = app.canvas.ds;
  const view = app.canvas.canvas.getBoundingClientRect();
  return [(x + offset[0]) * scale + view.left, (y + offset[1]) * scale + view.top];
}
"""


def test_seven_moves_lead_from_an_empty_canvas_to_a_restored_photo(frontend, stale):
    """A double click, two links that end in the search, a click to put down each of three nodes, and Run."""
    page = frontend.page
    frontend.server.post("settings/Comfy.LinkRelease.Action", "search box")  # as new installations have it
    frontend.visit()
    for place, word in ((250, "load image"), (700, "face"), (1150, "save image")):
        if word == "load image":
            frontend.search("")
        else:
            page.mouse.move(*page.evaluate(OUTPUT))
            page.mouse.down()
            page.mouse.move(place, 300, steps=5)
            page.mouse.up()
        page.wait_for_selector("input[placeholder='Add a node...']")
        page.keyboard.type(word)
        page.wait_for_timeout(1000)
        page.keyboard.press("Enter")
        page.wait_for_timeout(500)
        page.mouse.click(place, 300)
        page.wait_for_timeout(500)
    kinds = ["LoadImage", "OSDFaceRestoreFaces", "SaveImage"]
    assert page.evaluate("app.graph._nodes.map(node => node.type)") == kinds
    posted = frontend.run()["prompt"]
    assert [node["class_type"] for node in posted.values()] == kinds
    page.wait_for_function("app.graph._nodes.find(node => node.type == 'SaveImage').imgs?.length > 0")


CONNECT = """
() => {
  const [blueprint] = app.graph._nodes;
  const [load, save] = ['LoadImage', 'SaveImage'].map(kind => {
    const node = LiteGraph.createNode(kind);
    app.graph.add(node);
    return node;
  });
  load.widgets.find(widget => widget.name == 'image').value = 'astronaut.png';
  load.connect(0, blueprint, 0);
  blueprint.connect(0, save, 0);
  return [blueprint.title, blueprint.isSubgraphNode(), blueprint.widgets.map(widget => widget.name)];
}
"""


@pytest.mark.parametrize("name", BLUEPRINTS)
def test_a_blueprint_is_found_dropped_and_run(frontend, name):
    frontend.search(name)
    frontend.page.get_by_test_id("result-item").filter(has_text=name).first.click()
    frontend.page.wait_for_function("app.graph._nodes.length == 1")
    title, is_graph, widgets = frontend.page.evaluate(CONNECT)
    assert (title, is_graph) == (name, True)
    assert widgets == [widget for _, widget in BLUEPRINTS[name].promoted]
    posted = frontend.run()["prompt"]
    restored = {node["class_type"] for node in posted.values()} & {"OSDFaceRestoreFaces", "OSDFaceRestore"}
    assert restored
    frontend.page.wait_for_function("app.graph._nodes.find(node => node.type == 'SaveImage').imgs?.length > 0")


@pytest.fixture(scope="module", params=[False, True], ids=["drawn", "Nodes 2.0"])
def either_tab(tab, request):
    """Nodes drawn on a canvas, and made of the page's elements."""
    if request.param:
        tab.server.post("settings/Comfy.VueNodes.Enabled", True)
        tab.visit()
    yield tab
    if request.param:
        tab.server.post("settings/Comfy.VueNodes.Enabled", False)
        tab.stale = True


@pytest.fixture
def either_frontend(either_tab):
    either_tab.clear()
    return either_tab


def test_a_node_shows_what_its_run_has_to_say_whenever_its_graph_is_loaded_anew(either_frontend):
    """ComfyUI runs only what has changed since the last run, whatever page or tab has seen it."""
    photo, steps = template("Restore a blurred photo"), template("Every step in a node of its own")
    page = either_frontend.page
    notice, summary = page.get_by_text(NOTICE), page.get_by_text("1 of 1 face restored")

    either_frontend.open(photo, "photo")
    either_frontend.run()
    expect(notice).to_be_visible()
    expect(summary).to_be_visible()
    either_frontend.open(steps, "steps")
    expect(notice).to_have_count(0)
    page.get_by_text("photo", exact=True).first.click()
    expect(notice).to_be_visible()
    expect(summary).to_be_visible()
    page.evaluate("app.graph._nodes.forEach(node => node.pos = [node.pos[0] + 9, node.pos[1]])")
    page.evaluate(CHANGES + ".captureCanvasState()")
    page.evaluate(CHANGES + ".undo()")
    expect(notice).to_be_visible()
    either_frontend.visit()
    expect(notice).to_have_count(0)
    either_frontend.open(photo, "photo")
    either_frontend.run()
    expect(notice).to_be_visible()
    expect(summary).to_be_visible()


def test_a_workflow_does_not_keep_what_its_nodes_said(frontend):
    workflow = template("Restore a blurred photo")
    frontend.open(workflow)
    frontend.run()
    expect(frontend.page.get_by_text(NOTICE)).to_be_visible()
    saved = frontend.page.evaluate("app.graph.serialize()")
    for node in (node for node in saved["nodes"] if node["type"].startswith("OSDFace")):
        before = next(old for old in workflow["nodes"] if old["id"] == node["id"])
        assert node.get("widgets_values") == before.get("widgets_values")
    again = frontend.run()["prompt"]
    assert not any("message" in node["inputs"] for node in again.values())


def test_the_help_of_a_node_shows_its_page_with_its_picture(frontend, stale):
    frontend.open(template("Restore a blurred photo"))
    frontend.page.evaluate("app.canvas.selectNode(app.graph._nodes.find(n => n.type == 'OSDFaceRestoreFaces'))")
    frontend.page.get_by_test_id("info-button").click()
    expect(frontend.page.get_by_text("If something goes wrong").first).to_be_visible()
    frontend.page.wait_for_function(
        "document.querySelector('img[src*=\"pictures/OSDFaceRestoreFaces\"]')?.naturalWidth > 300"
    )


def test_a_missing_detector_is_named_on_its_node_with_where_to_get_it(frontend, stale):
    frontend.build(step_by_step(detector={"detector": "detection_Resnet50_Final.pth"}), [])
    frontend.press_run()
    frontend.page.wait_for_function(
        "app.lastNodeErrors && Object.values(app.lastNodeErrors).some(e => e.class_type == 'OSDFaceLoadDetector')"
    )
    frontend.page.get_by_role("button", name="View details").click()
    frontend.page.get_by_role("button", name="Info for Load Face Detector").click()
    expect(frontend.page.get_by_text("models/facedetection").first).to_be_visible()


AGREE = "I agree to these licences"


def test_a_person_reads_the_licences_and_agrees_on_the_node(either_frontend, request):
    page, kept = either_frontend.page, either_frontend.server.base / ".osdface" / "licences.json"
    kept.unlink(missing_ok=True)
    either_frontend.build({"get": graphs.node("OSDFaceDownloadWeights", weights="everything OSDFace needs")}, [["get"]])
    for licence in ("none stated by the authors", "CreativeML Open RAIL", "trained on WIDER FACE"):
        expect(page.get_by_text(licence)).to_be_visible()
    assert not kept.exists()
    page.get_by_role("button", name=AGREE).click()
    expect(page.get_by_role("button", name=AGREE)).to_have_count(0)
    expect(page.get_by_text("sd21-base (agreed, not here yet)")).to_be_visible()
    assert json.loads(kept.read_text(encoding="utf-8")).keys() == {"osdface", "sd21-base", "retinaface-resnet50"}
    assert "licences" not in json.dumps(page.evaluate("app.graph.serialize()"))
    page.evaluate("() => { const [w] = app.graph._nodes[0].widgets; w.value = 'taesd'; w.callback('taesd'); }")
    expect(page.get_by_text("Licence: MIT")).to_be_visible()
    expect(page.get_by_role("button", name=AGREE)).to_be_visible()
    kept.unlink()


def test_what_was_said_of_other_values_goes_when_a_widget_changes(either_frontend):
    either_frontend.open(template("Restore a blurred photo"))
    either_frontend.run()
    notice = either_frontend.page.get_by_text(NOTICE)
    expect(notice).to_be_visible()
    either_frontend.page.evaluate(
        """() => {
          const node = app.graph._nodes.find(n => n.type == 'OSDFaceRestoreFaces');
          const widget = node.widgets.find(w => w.name == 'strength');
          widget.value = 0.5;
          widget.callback(0.5);
        }"""
    )
    expect(notice).to_have_count(0)


LISTEN = """
() => {
  window.heard = [];
  for (const kind of ['progress', 'execution_interrupted', 'execution_success', 'execution_error'])
    app.api.addEventListener(kind, event => window.heard.push([kind, event.detail]));
}
"""


STEPS = "heard.filter(h => h[0] == 'progress' && h[1].max == 29).map(h => [h[1].node, h[1].value])"


@pytest.mark.skipif(not SHARED.is_dir(), reason="no shared data: set OSDFACE_SHARED to its folder")
def test_progress_moves_and_an_interrupt_stops_it(frontend):
    frontend.build(step_by_step("group_solvay1927.jpg", restore={"batch_size": 1}), [])
    frontend.page.evaluate(LISTEN)
    frontend.press_run()
    frontend.page.wait_for_function(f"{STEPS}.length > 2", timeout=60_000)
    frontend.page.evaluate("app.api.interrupt()")
    frontend.page.wait_for_function("heard.some(h => h[0] == 'execution_interrupted')", timeout=60_000)
    steps = frontend.page.evaluate(STEPS)
    for node in {node for node, _ in steps}:
        values = [value for other, value in steps if other == node]
        assert values == sorted(values)
    assert not frontend.page.evaluate("heard.some(h => h[0] == 'execution_success')")


@pytest.mark.parametrize("language", ["ja", "zh"])
def test_what_nodes_offer_and_say_is_in_the_page_s_language(tab, stale, language):
    known = json.loads((ROOT / "locales" / language / "main.json").read_text(encoding="utf-8"))["OSDFaceTexts"]
    said = ["frame 3: 1 of 2 faces restored; face 0 left: smaller than 40 px", "1 face", "2 left: not selected"]
    tab.server.post("settings/Comfy.Locale", language)
    try:
        tab.visit()
        tab.open(template("Restore an old photo"))
        color = "app.graph._nodes.flatMap(n => n.widgets ?? []).find(w => w.name == 'color')"
        assert tab.page.evaluate(f"{color}.options.getOptionLabel('wavelet')") == known["wavelet"] != "wavelet"
        (path,) = (path for path in tab.server.get("extensions") if path.endswith("texts.js"))
        translate = "([path, said]) => import(path).then(texts => said.map(texts.translated))"
        for text in tab.page.evaluate(translate, [path, said]):
            assert not any(word in text for word in ("frame", "face", "left", "selected")), text
        posted = tab.run()["prompt"]
        assert "wavelet" in [node["inputs"].get("color") for node in posted.values()]
        expect(tab.page.get_by_text(known[NOTICE])).to_be_visible()
        expect(tab.page.get_by_text(known["{} of {} face restored"].format(1, 1))).to_be_visible()
    finally:
        tab.server.post("settings/Comfy.Locale", "en")

"""ComfyUI's real frontend in a real Chromium, driven as a person would."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from .client import Server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
READY = "!!(window.app?.graph && window.LiteGraph?.registered_node_types['OSDFaceRestoreFaces'])"
LAYOUT = """
(columns) => {
  let x = 60;
  for (const column of columns) {
    let y = 100, widest = 0;
    for (const id of column) {
      const node = app.graph.getNodeById(id);
      const size = node.computeSize();
      const shows = /^(Load|Save|Preview)(Image|Video|Any)$/.test(node.type);
      node.setSize([Math.max(size[0], 320), shows ? Math.max(size[1], 360) : size[1]]);
      node.pos = [x, y];
      y += node.size[1] + (node.type.startsWith('OSDFace') ? 140 : 70);  // a node says something after a run
      widest = Math.max(widest, node.size[0]);
    }
    x += widest + 90;
  }
  app.graph.setDirtyCanvas(true, true);
}
"""
FIT = """
() => {
  const boxes = app.graph._nodes.map(n => n.getBounding ? n.getBounding() : [...n.pos, ...n.size]);
  const left = Math.min(...boxes.map(b => b[0])), top = Math.min(...boxes.map(b => b[1]));
  const right = Math.max(...boxes.map(b => b[0] + b[2])), bottom = Math.max(...boxes.map(b => b[1] + b[3]));
  const view = app.canvas.canvas.getBoundingClientRect();
  const scale = Math.min((view.width - 140) / (right - left), (view.height - 210) / (bottom - top), 1);
  app.canvas.show_info = false;
  app.canvas.min_font_size_for_lod = 0;  // text at any scale
  app.canvas.ds.scale = scale;
  app.canvas.ds.offset = [90 / scale - left, 140 / scale - top];
  app.graph.setDirtyCanvas(true, true);
}
"""
HULL = """
() => {
  const margin = 32, view = app.canvas.canvas.getBoundingClientRect(), {scale, offset} = app.canvas.ds;
  const boxes = app.graph._nodes.map(n => n.getBounding ? n.getBounding() : [...n.pos, ...n.size]);
  const left = Math.min(...boxes.map(b => b[0])), top = Math.min(...boxes.map(b => b[1]));
  const right = Math.max(...boxes.map(b => b[0] + b[2])), bottom = Math.max(...boxes.map(b => b[1] + b[3]));
  const x = Math.max(view.left, (left + offset[0]) * scale + view.left - margin);
  const y = Math.max(view.top, (top + offset[1]) * scale + view.top - margin);
  return {
    x, y,
    width: Math.min(innerWidth, (right + offset[0]) * scale + view.left + margin) - x,
    height: Math.min(innerHeight, (bottom + offset[1]) * scale + view.top + margin) - y,
  };
}
"""
CLEAR = """
async () => {
  await app.extensionManager.command.execute('Comfy.NewBlankWorkflow');
  const open = app.extensionManager.workflow;
  for (const other of [...open.openWorkflows]) if (other !== open.activeWorkflow) await open.closeWorkflow(other);
}
"""
LISTEN_FOR_THE_END = """
() => {
  window.ended = false;
  for (const kind of ['execution_success', 'execution_error', 'execution_interrupted'])
    app.api.addEventListener(kind, () => window.ended = true, {once: true});
}
"""
HIDDEN = "[role=status], .p-toast, .minimap-main-container, .floating-panel { display: none !important }"


class Frontend:
    """One tab with the graph editor."""

    def __init__(self, page: Page, server: Server):
        self.page, self.server = page, server
        self.stale = False
        """Whether more is left from what was done than `clear` takes away."""
        server.post("settings/Comfy.TutorialCompleted", True)  # else the templates cover a first visit
        self.visit()

    def visit(self) -> None:
        """Open the page, or open it anew."""
        self.stale = False
        self.page.goto(self.server.url)
        self.page.wait_for_function(READY, timeout=120_000)
        self.page.wait_for_timeout(1500)

    def clear(self) -> None:
        """An empty graph, in the only tab that is left, and no search; in a new page where it has to be."""
        if self.stale:
            self.visit()
        self.page.keyboard.press("Escape")
        self.page.evaluate(CLEAR)
        self.page.wait_for_function("app.graph._nodes.length == 0")

    def build(self, prompt: dict[str, Any], columns: list[list[str]]) -> dict[str, Any]:
        """Make a graph of an API prompt, laid out in columns of its names; returns the workflow to share."""
        number = {name: str(count) for count, name in enumerate(prompt, 1)}
        numbered = {}
        for name, node in prompt.items():
            inputs = {
                key: [number[value[0]], value[1]] if isinstance(value, list) and value[0] in number else value
                for key, value in node["inputs"].items()
            }
            numbered[number[name]] = {**node, "inputs": inputs}
        self.page.evaluate("prompt => app.loadApiJson(prompt, 'workflow')", numbered)
        self.page.evaluate(LAYOUT, [[int(number[name]) for name in column] for column in columns])
        self.page.wait_for_timeout(300)
        return self.page.evaluate("app.graph.serialize()")

    def open(self, workflow: dict[str, Any], name: str = "workflow") -> None:
        """Load a shared workflow, as dropping its file on the page does: in a tab of that name."""
        drop = "([text, name]) => app.handleFile(new File([text], name + '.json', {type: 'application/json'}))"
        self.page.evaluate(drop, [json.dumps(workflow), name])
        self.page.wait_for_function(f"app.graph._nodes.length == {len(workflow['nodes'])}")
        self.page.wait_for_timeout(500)

    def missing(self) -> list[str]:
        """Nodes of the graph that the frontend does not know."""
        return self.page.evaluate("app.graph._nodes.map(n => n.type).filter(t => !LiteGraph.registered_node_types[t])")

    def search(self, words: str) -> None:
        """Open the node search with a double click on the empty canvas, and type."""
        self.page.evaluate("app.graph.clear()")
        field = self.page.locator("input[placeholder='Add a node...']").first
        for _ in range(10):
            self.page.mouse.dblclick(800, 500)
            self.page.wait_for_timeout(700)
            if field.is_visible():
                break
        field.fill(words)

    def press_run(self) -> None:
        self.page.get_by_test_id("queue-button").click()

    def run(self) -> dict[str, Any]:
        """Press Run and wait for the end; returns the prompt that was posted."""
        self.page.evaluate(FIT)  # the frontend shows pictures of what is in view
        self.page.evaluate(LISTEN_FOR_THE_END)
        with self.page.expect_request(lambda request: request.url.endswith("/api/prompt")) as posted:
            self.press_run()
        answer = posted.value.response()
        if answer is not None and answer.ok:
            self.server.finish(answer.json()["prompt_id"])
            self.page.wait_for_function("window.ended", timeout=60_000)
        self.page.wait_for_timeout(300)
        sent: dict[str, Any] = posted.value.post_data_json or {}
        return sent

    def screenshot(self, path: Path, quality: int = 85) -> None:
        """A picture of the graph, without what floats over it."""
        self.page.add_style_tag(content=HIDDEN)
        self.page.evaluate(FIT)
        self.page.wait_for_timeout(800)
        self.page.screenshot(path=path, type="jpeg", quality=quality, clip=self.page.evaluate(HULL))


@contextmanager
def open_frontend(server: Server, width: int = 1600, height: int = 900) -> Iterator[Frontend]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": width, "height": height})
        yield Frontend(page, server)
        browser.close()

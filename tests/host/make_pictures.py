"""Make all pictures of templates, nodes and documents anew, as after a change of weights or defaults:

python -m host.make_pictures SHARED_DATA [NODE ...]

With names of nodes, only the pictures of their help pages: a node after a run, and beside it what it gave; one that the
run does not need stands alone. `docs/growth.png` is a chart of `benchmarks/growth.py`, which weights do not change.
"""

import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import osdface_core
from osdface_core.evaluation.degradation import STRENGTHS
from osdface_core.evaluation.photographs import as_tensor, read_square

from . import before_after, make_blueprints, make_templates
from .client import RESTORER, ROOT, furnish, start_standin
from .frontend import HIDDEN, Frontend, open_frontend
from .graphs import node, restore_faces, step_by_step
from .record_object_info import RECORD

COLUMNS, CROP = 6, 256
FOLDER = ROOT / "web" / "docs" / "pictures"
SHOW = """
([type, shows]) => {
  let shown = app.graph._nodes.find(n => n.type == type);
  if (!shown) {
    shown = LiteGraph.createNode(type);
    app.graph.add(shown);
  }
  const size = shown.computeSize();
  shown.setSize([Math.max(shown.size[0], size[0], 320), Math.max(shown.size[1], size[1])]);
  const reached = shown.outputs.flatMap(o => (o.links ?? []).map(l => app.graph.links.get(l).target_id));
  const beside = app.graph._nodes.filter(n => reached.includes(n.id) && shows.includes(n.type));
  const group = [shown, ...beside];
  for (const other of app.graph._nodes) other.pos = [20000, 20000];
  group.forEach((n, i) => n.pos = [20 + 390 * i, 140]);
  const right = Math.max(...group.map(n => n.pos[0] + n.size[0]));
  const bottom = Math.max(...group.map(n => n.pos[1] + n.size[1]));
  app.canvas.show_info = false;
  app.canvas.links_render_mode = group.length > 1 ? 2 : -1;
  app.canvas.ds.scale = 1;
  app.canvas.ds.offset = [60, 20];
  app.graph.setDirtyCanvas(true, true);
  const view = app.canvas.canvas.getBoundingClientRect();
  return {x: view.left + 60, y: view.top + 100, width: right + 20, height: bottom - 60};
}
"""


def everything() -> dict:
    """A graph in which most nodes run, with a preview at whatever they show."""
    prompt = step_by_step()
    prompt["match"] = node("OSDFaceMatchColor", restored=["set", 0], source=["crop", 0], method="wavelet", strength=1.0)
    prompt["all"] = restore_faces()
    prompt["light"] = node("OSDFaceLoadRestorer", restorer=RESTORER)
    prompt["join"] = node("OSDFaceJoinCrops", first=["restore", 0], second=["rest", 0])
    prompt["rest"] = node("OSDFaceCrop", image=["image", 0], faces=["select", 1], size=256)
    prompt["join 1"] = node("PreviewImage", images=["join", 1])
    for name, outputs in {"crop": [1], "restore": [1], "match": [1], "paste": [0], "all": [0]}.items():
        for output in outputs:
            prompt[f"{name} {output}"] = node("PreviewImage", images=[name, output])
    for name in ("save", "report"):
        del prompt[name]
    return prompt


def picture(frontend: Frontend, kind: str) -> Image.Image:
    clip = frontend.page.evaluate(SHOW, [kind, ["PreviewImage"]])
    frontend.page.wait_for_timeout(1200)
    return Image.open(io.BytesIO(frontend.page.screenshot(clip=clip)))


def examples(shared: Path) -> None:
    """Portraits and cartoons of them: degraded at medium strength, restored, original."""
    portraits = sorted((shared / "faces" / "faces256" / "test").glob("synthetic_*.jpg"))[:COLUMNS]
    originals = [read_square(portrait, CROP) for portrait in portraits]
    degraded = [STRENGTHS["medium"](image, np.random.default_rng((0, n))) for n, image in enumerate(originals)]
    model = osdface_core.load_model()
    restored = [osdface_core.restore_aligned(as_tensor(image)[None], model)[0] for image in degraded]
    rows = [[as_tensor(image) for image in degraded], restored, [as_tensor(image) for image in originals]]
    sheet = torch.cat([torch.cat(row, dim=2) for row in rows], dim=1)
    levels = (sheet.movedim(0, -1).clamp(0, 1) * 255).round().byte().numpy()
    Image.fromarray(levels).save(before_after.DOCS / "starter.jpg", quality=85)
    cartoons = [sys.executable, ROOT / "benchmarks" / "cartoons.py", "-o", before_after.DOCS / "cartoon.jpg"]
    subprocess.run([*map(str, cartoons), "--portraits", *(str(portraits[n]) for n in (0, 2, 5))], check=True)


if __name__ == "__main__":
    if not sys.argv[2:]:
        examples(Path(sys.argv[1]))
        make_templates.main([])
        make_blueprints.main()
        before_after.main()
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as base:
        furnish(Path(base), Path(sys.argv[1]))
        server = start_standin(Path(base))
        with open_frontend(server, 1400, 900) as frontend:
            prompt = everything()
            frontend.build(prompt, [[name] for name in prompt])
            frontend.run()
            frontend.page.add_style_tag(content=HIDDEN)
            for kind in sys.argv[2:] or json.loads(RECORD.read_text(encoding="utf-8")):
                picture(frontend, kind).save(FOLDER / f"{kind}.webp", quality=80)
        server.stop()

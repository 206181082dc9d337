"""How the cost of a photo grows: with its faces, and with its pixels.

    python benchmarks/growth.py [--faces 1 2 4 8 16] [--megapixels 1 3 12 48] [--device cpu] [-o growth.png]

The photo is the shared data's, 29 people, reduced or enlarged; as many of them as asked for are restored with the
full-size weights that benchmarks/speed.py writes. Prints Markdown; -o draws it, with matplotlib.
"""

import argparse
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT)]

import osdface_core as osd  # noqa: E402
from osdface_core.inference.memory import faces_at_once  # noqa: E402
from osdface_core.selection.select import select_by_rule  # noqa: E402

STAGES = ("detection", "crops", "restoration", "paste")
MEGAPIXELS = 12.0
"""Of the photo whose faces are counted."""
Costs = dict[float, dict[str, float]]


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description="What a photo costs by its faces and by its pixels.")
    parser.add_argument("--faces", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--megapixels", type=float, nargs="+", default=[1, 3, 12, 48])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "osdface_full")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="the shared test data")
    parser.add_argument("-o", "--output", type=Path, help="a PNG or SVG to draw it in")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    data = chosen.shared / "data"
    model = osd.load_model(chosen.work / "bundle.safetensors", device=chosen.device)
    detector = osd.load_detector(data / "weights" / "detection_mobilenet0.25_Final.pth", device=chosen.device)
    people = osd.read_photo(data / "images" / "group_solvay1927.jpg").pixels

    def photo(megapixels: float) -> Tensor:
        scale = (megapixels * 1e6 / people[0, 0].numel()) ** 0.5
        return F.interpolate(people, scale_factor=scale, mode="bicubic", antialias=True).clamp(0, 1).to(chosen.device)

    price(photo(MEGAPIXELS), 1, model, detector)  # the first face makes the kernels
    by_faces = {float(n): price(photo(MEGAPIXELS), n, model, detector) for n in chosen.faces}
    by_pixels = {size: price(photo(size), 1, model, detector) for size in chosen.megapixels}
    sys.stdout.write(table("faces", by_faces))
    sys.stdout.write(table("megapixels", by_pixels))
    if chosen.output:
        draw(by_faces, by_pixels, chosen.output)


def price(photo: Tensor, count: int, model: osd.OSDFaceModel, detector: osd.RetinaFace) -> dict[str, float]:
    """Wall seconds of each stage of restoring the `count` largest faces of `photo`."""
    marks = [now(photo)]
    faces = select_by_rule(detector.detect(photo), "largest", count)[0]
    marks.append(now(photo))
    crops = osd.align_faces(photo, faces, model.config.crop_size)
    marks.append(now(photo))
    size = faces_at_once(model)
    prompts = osd.encode_prompts(model.vre, crops, batch_size=size)
    restored = osd.restore_crops(model.one_step, crops, prompts, batch_size=size)
    marks.append(now(photo))
    osd.paste_faces(photo, restored)
    marks.append(now(photo))
    return {stage: end - start for stage, (start, end) in zip(STAGES, pairwise(marks), strict=True)}


def now(photo: Tensor) -> float:
    if photo.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def table(what: str, costs: Costs) -> str:
    lines = [f"| {what} | {' | '.join(f'{stage}, s' for stage in STAGES)} | all, s |", "|---" * 6 + "|"]
    for size, stages in costs.items():
        cells = [f"{stages[stage]:.2f}" for stage in STAGES]
        lines.append(f"| {size:g} | {' | '.join(cells)} | {sum(stages.values()):.2f} |")
    return "\n".join(lines) + "\n\n"


def draw(by_faces: Costs, by_pixels: Costs, output: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, costs, what in ((left, by_faces, "faces"), (right, by_pixels, "megapixels")):
        layers = [[stages[stage] for stages in costs.values()] for stage in reversed(STAGES)]
        axes.stackplot(list(costs), layers, labels=list(reversed(STAGES)))
        axes.set(xlabel=what, ylabel="seconds", ylim=(0, None), xlim=(min(costs), max(costs)))
    left.set_title(f"faces of a photo of {MEGAPIXELS:g} megapixels")
    right.set_title("pixels of a photo with one face restored")
    left.legend(loc="upper left", reverse=True)
    figure.savefig(output, dpi=120)


if __name__ == "__main__":
    main()

"""Whether faces that are sharp already should be left alone by default: what that spares, and what it leaves degraded.

    python benchmarks/sharp.py [--shared ../shared]

Faces of the shared photos, as they are and degraded in known ways, are restored by the starter weights. By whether they
are at least as sharp as `skip_sharp` asks: their number, and how far they are from the photo before and after, by
identity (cosine similarity) and by perceptual distance. Prints Markdown.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT)]

from osdface_core import align_faces, load_detector, load_model, read_photo  # noqa: E402
from osdface_core.evaluation.degradation import STRENGTHS, Degradation  # noqa: E402
from osdface_core.evaluation.perceptual import load_distance  # noqa: E402
from osdface_core.evaluation.photographs import as_tensor  # noqa: E402
from osdface_core.inference.restorer import as_restorer  # noqa: E402
from osdface_core.options import SHARP, PhotoOptions  # noqa: E402
from osdface_core.pipeline import restore_and_match  # noqa: E402
from osdface_core.recognition.embedders import load_embedder  # noqa: E402
from osdface_core.recognition.identity import embed_aligned  # noqa: E402
from osdface_core.selection.sharpness import sharpness  # noqa: E402

PHOTOS = (
    *("astronaut.png", "ai_m47_1024.jpg", "portrait_wh.jpg", "profile_steele_175.jpg", "profile_thurman_169.jpg"),
    *("old_autochrome_shaw1908.png", "group_solvay1927.jpg", "small_wh_240p.jpg", "ai_m47_128.jpg"),
    "derived/portrait_wh_rot20.jpg",
)
MOST = 8
"""Faces of one photo."""
SIZE = 256
BARE = {"blur": (1e-3, 1e-3), "reduction": (1.0, 1.0), "noise": (0.0, 0.0), "jpeg": (100.0, 100.0), "passes": 1}
DEGRADED = {
    "as it is": Degradation(passes=0),
    **STRENGTHS,
    "noise of 10 levels": Degradation(**BARE | {"noise": (10, 10)}),
    "noise of 25 levels": Degradation(**BARE | {"noise": (25, 25)}),
    "JPEG of quality 30": Degradation(**BARE | {"jpeg": (30, 30)}),
    "JPEG of quality 10": Degradation(**BARE | {"jpeg": (10, 10)}),
}


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description="What leaving sharp faces alone spares, and what it leaves degraded.")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="the shared test data")
    data = parser.parse_args().shared / "data"
    judge = data / "weights" / "detection_mobilenet0.25_Final.pth"
    detector, distance = load_detector(judge), load_distance(f"detector:{judge}")
    embedder, restorer = load_embedder(data / "weights" / "mobilefacenet.pt"), as_restorer(load_model())
    rows: dict[tuple[str, bool], list[list[float]]] = {}
    for name in PHOTOS:
        photo = read_photo(data / "images" / name).pixels
        faces = detector.detect(photo)
        originals = align_faces(photo, faces.keep(list(faces)[:MOST]), SIZE)
        for kind, degrade in DEGRADED.items():
            chance = np.random.default_rng(0)
            images = [degrade(image.movedim(0, -1).numpy(), chance) for image in originals.images]
            before = originals.with_images(torch.stack([as_tensor(image) for image in images]))
            after = restore_and_match(before, restorer, PhotoOptions())
            target = embed_aligned(embedder, originals.images)
            figures = [
                measure
                for images in (before.images, after.images)
                for measure in (
                    F.cosine_similarity(embed_aligned(embedder, images), target),
                    distance(images, originals.images).flatten(),
                )
            ]
            for value, *figure in zip(sharpness(before), *(each.tolist() for each in figures), strict=True):
                rows.setdefault((kind, value >= SHARP), []).append(figure)
    lines = ["| faces | sharp? | count | identity | after | distance | after |", "|---|---|---|---|---|---|---|"]
    for (kind, sharp), of_kind in sorted(rows.items(), key=lambda row: (list(DEGRADED).index(row[0][0]), -row[0][1])):
        identity, distant, restored, left = np.mean(of_kind, 0)
        figures = f"{identity:.3f} | {restored:.3f} | {distant:.3f} | {left:.3f}"
        lines.append(f"| {kind} | {'yes' if sharp else 'no'} | {len(of_kind)} | {figures} |")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

"""How well a detector finds faces, such as one that was trained here, beside facexlib's, on photos that it never saw.

    python benchmarks/detection.py FILE [--shared ../shared] [--faceless FOLDER]

Real photos: against the faces that facexlib's RetinaFace found in them, as recorded. Portraits: of people who were not
in the training, on a plain picture of 640 px, as they are and degraded; against the faces that the real RetinaFace
finds in those that are not. Two faces are the same if their boxes share half of their union; landmarks are in percent
of the distance between the eyes, the mean over the faces found. --faceless: photos without a face, of which the table
counts what is found nevertheless.
"""

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from osdface_core import Face, RetinaFace, load_detector, read_photo  # noqa: E402
from osdface_core.detection.detector import shared_area  # noqa: E402
from osdface_core.evaluation.degradation import STRENGTHS  # noqa: E402
from osdface_core.files.formats import SUFFIXES  # noqa: E402

REAL = "detection_mobilenet0.25_Final.pth"
SIDE = 640
SIZES = (48, 96, 192, 480)
"""Sides of the portraits; their faces are about two thirds of it."""


@dataclass
class Tally:
    """Faces wanted, found, and found where there is none."""

    wanted: int = 0
    found: int = 0
    false: int = 0
    landmarks: list[float] = field(default_factory=list)

    def add(self, faces: list[Face], reference: list[Face]) -> None:
        self.wanted += len(reference)
        left = list(faces)
        for true in reference:
            best = max(left, key=lambda face: shared_area(face.box, true.box), default=None)
            if best is not None and shared_area(best.box, true.box) > 0.5:
                left.remove(best)
                self.found += 1
                ours, theirs = np.array(best.landmarks), np.array(true.landmarks)
                self.landmarks.append(
                    np.linalg.norm(ours - theirs, axis=1).mean() / np.linalg.norm(theirs[1] - theirs[0])
                )
        self.false += len(left)

    def row(self, name: str) -> str:
        error = f"{100 * np.mean(self.landmarks):.1f} %" if self.landmarks else ""
        return f"| {name} | {self.found} of {self.wanted} | {self.false} | {error} |\n"


def recorded(file: Path) -> list[Face]:
    runs = json.loads(file.read_text(encoding="utf-8"))["runs"]
    faces = next(run for run in runs if run["run"] == "min640")["faces"]
    return [
        Face(0, 0, tuple(face["box"]), face["score"], tuple(map(tuple, face["landmarks"])))
        for face in faces
        if face["score"] > 0.8
    ]


def on_plain(portrait: np.ndarray, size: int) -> torch.Tensor:
    """[1,3,640,640]: the portrait, `size` long, in the middle of grey."""
    image = torch.full((1, 3, SIDE, SIDE), 0.5)
    pixels = torch.from_numpy(portrait).permute(2, 0, 1)[None].float()
    start = (SIDE - size) // 2
    image[..., start : start + size, start : start + size] = F.interpolate(pixels, (size, size), mode="area")
    return image


def real_photos(detector: RetinaFace, data: Path) -> list[str]:
    single, group = Tally(), Tally()
    for file in sorted((data / "golden" / "detect").iterdir()):
        image = read_photo(data / "images" / file.stem.replace("__", "/")).pixels
        (group if "group" in file.name else single).add(list(detector.detect(image)), recorded(file))
    return [single.row("16 photos of one face or none"), group.row("the group of 29")]


def portraits(detector: RetinaFace, real: RetinaFace, data: Path) -> list[str]:
    photos = [
        read_photo(path).pixels[0].permute(1, 2, 0).numpy()
        for path in sorted((data / "faces" / "faces256" / "test").iterdir())
    ]
    rows = []
    for strength in (None, "medium", "heavy"):
        tallies = {size: Tally() for size in SIZES}
        for number, photo in enumerate(photos):
            worse = STRENGTHS[strength](photo, np.random.default_rng(number)) if strength else photo
            for size, tally in tallies.items():
                tally.add(list(detector.detect(on_plain(worse, size))), list(real.detect(on_plain(photo, size))))
        rows += [tally.row(f"portraits of {size} px, {strength or 'as they are'}") for size, tally in tallies.items()]
    return rows


@torch.no_grad()
def main() -> None:
    arguments = argparse.ArgumentParser(description="How well detectors find faces.")
    arguments.add_argument("detector", type=Path, metavar="FILE", help="a RetinaFace's weights")
    arguments.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    arguments.add_argument("--faceless", type=Path, help="a folder of photos without a face")
    chosen = arguments.parse_args()
    data = chosen.shared / "data"
    real = load_detector(data / "weights" / REAL)
    for name, detector in ((chosen.detector, load_detector(chosen.detector)), (REAL, real)):
        rows = real_photos(detector, data) + portraits(detector, real, data)
        if chosen.faceless is not None:
            nothing = Tally()
            for path in sorted(path for path in chosen.faceless.rglob("*") if path.suffix.lower() in SUFFIXES):
                nothing.add(list(detector.detect(read_photo(path).pixels)), [])
            rows.append(nothing.row("photos without a face"))
        sys.stdout.write(f"\n{name}\n\n| | found | false | landmarks |\n|---|---|---|---|\n{''.join(rows)}")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

"""What detection and restoration make of cartoons (the paper's Figure 6): scores by threshold, and a picture.

    python benchmarks/cartoons.py [--weights FILE] [--portraits PHOTO …] [-o docs/cartoon.jpg]

The first cartoon is drawn here; portraits (aligned faces; those of docs/starter.jpg are synthetic people, CC0) are made
into cartoons by OpenCV's stylization. Each is put into a larger picture, searched by every detector that is on this
machine, degraded at medium strength and restored. Prints Markdown; -o writes degraded, restored, original.
"""

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT)]

import osdface_core as osd  # noqa: E402
from osdface_core.detection.load import DETECTORS, STARTER, find_weights  # noqa: E402
from osdface_core.errors import WeightsError  # noqa: E402
from osdface_core.evaluation.degradation import STRENGTHS  # noqa: E402
from osdface_core.evaluation.photographs import as_tensor, read_square  # noqa: E402

SIZE = 256
LINE = (60, 40, 45)


def main() -> None:
    parser = argparse.ArgumentParser(description="What detection and restoration make of cartoons.")
    parser.add_argument("--weights", type=Path, help="a bundle (default: starter)")
    parser.add_argument("--portraits", type=Path, nargs="*", default=[], help="aligned faces to make cartoons of")
    parser.add_argument("-o", "--output", type=Path, help="a picture: degraded, restored, original")
    chosen = parser.parse_args()
    model = osd.load_model(chosen.weights)
    cartoons = {"drawn": drawn()} | {photo.stem: stylized(photo) for photo in chosen.portraits}
    originals = torch.stack([as_tensor(image) for image in cartoons.values()])
    degraded = torch.stack(
        [
            as_tensor(STRENGTHS["medium"](image, np.random.default_rng((0, number))))
            for number, image in enumerate(cartoons.values())
        ]
    )
    sys.stdout.write(f"| cartoon | {' | '.join(f'{name}: sharp, degraded' for name in detectors())} |\n")
    sys.stdout.write("|" + "---|" * (len(detectors()) + 1) + "\n")
    for number, name in enumerate(cartoons):
        scores = [
            ", ".join(f"{best_score(detector, images[number]):.2f}" for images in (originals, degraded))
            for detector in detectors().values()
        ]
        sys.stdout.write(f"| {name} | {' | '.join(scores)} |\n")
    if chosen.output:
        restored = torch.cat([osd.restore_aligned(image[None], model) for image in degraded])
        rows = [torch.cat(list(images), dim=2) for images in (degraded, restored, originals)]
        osd.write_photo(chosen.output, torch.cat(rows, dim=1)[None])


def detectors() -> dict[str, osd.RetinaFace]:
    """Those that are on this machine, by name."""
    found = {"starter": osd.load_detector(STARTER)}
    for name in DETECTORS:
        try:
            found[name] = osd.load_detector(find_weights(name))
        except WeightsError:
            continue
    return found


def best_score(detector: osd.RetinaFace, face: torch.Tensor) -> float:
    """Of the face in a picture three times as wide and high as itself; 0 where there is none."""
    photo = F.pad(face[None], (SIZE,) * 4, value=0.6)
    return max((found.score for found in detector.detect(photo, threshold=0.02)), default=0.0)


def drawn() -> np.ndarray:
    """A cartoon face [S,S,3], 0..1, its eyes and mouth where FFHQ has them."""
    big = 4 * SIZE
    image = np.full((big, big, 3), (188, 214, 229), np.uint8)

    def spot(x: float, y: float) -> tuple[int, int]:
        return round(x * big), round(y * big)

    def blob(x: float, y: float, wide: float, high: float, color: tuple[int, int, int], line: int = 10) -> None:
        axes = (round(wide * big), round(high * big))
        cv2.ellipse(image, spot(x, y), axes, 0, 0, 360, color, -1, cv2.LINE_AA)
        if line:
            cv2.ellipse(image, spot(x, y), axes, 0, 0, 360, LINE, line, cv2.LINE_AA)

    blob(0.5, 0.40, 0.36, 0.37, (96, 56, 44))
    blob(0.5, 1.06, 0.40, 0.22, (70, 130, 180))
    blob(0.5, 0.87, 0.10, 0.14, (236, 190, 160))
    blob(0.5, 0.54, 0.28, 0.36, (246, 205, 176))
    blob(0.5, 0.22, 0.27, 0.11, (96, 56, 44), 0)
    for side, x in ((-1, 0.377), (1, 0.623)):
        blob(x, 0.47, 0.062, 0.045, (255, 255, 255))
        blob(x, 0.47, 0.032, 0.036, (70, 110, 60), 6)
        blob(x, 0.47, 0.014, 0.016, (20, 20, 20), 0)
        blob(x + 0.012, 0.457, 0.008, 0.008, (255, 255, 255), 0)
        cv2.ellipse(image, spot(x, 0.40), spot(0.07, 0.03), 4 * side, 200, 340, (80, 45, 35), 22, cv2.LINE_AA)
        blob(x + 0.04 * side, 0.64, 0.045, 0.028, (245, 170, 150), 0)
    cv2.ellipse(image, spot(0.5, 0.60), spot(0.035, 0.028), 0, 10, 170, LINE, 12, cv2.LINE_AA)
    cv2.line(image, spot(0.505, 0.50), spot(0.49, 0.60), (225, 170, 140), 14, cv2.LINE_AA)
    cv2.ellipse(image, spot(0.5, 0.70), spot(0.11, 0.07), 0, 15, 165, (190, 60, 70), -1, cv2.LINE_AA)
    cv2.ellipse(image, spot(0.5, 0.70), spot(0.11, 0.07), 0, 15, 165, LINE, 10, cv2.LINE_AA)
    return cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def stylized(photo: Path) -> np.ndarray:
    """A portrait as a cartoon [S,S,3], 0..1: flat colours, dark outlines."""
    levels = (read_square(photo, SIZE) * 255).round().astype(np.uint8)
    flat = cv2.stylization(np.ascontiguousarray(levels[..., ::-1]), sigma_s=60, sigma_r=0.45)
    edges = cv2.adaptiveThreshold(
        cv2.medianBlur(cv2.cvtColor(levels, cv2.COLOR_RGB2GRAY), 5),
        255,
        cv2.ADAPTIVE_THRESH_MEAN_C,
        cv2.THRESH_BINARY,
        9,
        5,
    )
    dark = cv2.GaussianBlur(edges, (0, 0), 0.7)[..., None] / 255
    return (flat[..., ::-1] / 255 * (0.35 + 0.65 * dark)).astype(np.float32)


if __name__ == "__main__":
    main()

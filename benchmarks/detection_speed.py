"""What finding faces costs, ours beside facexlib's: CPU seconds a frame on one thread, and memory after many sizes.

    python benchmarks/detection_speed.py [--detector WEIGHTS] [--sizes 300] [--rounds 3]

Frames: the photo that comes with the pack, enlarged, on grey. facexlib's has OpenCV resize every frame, as its helper
does, and looks at it once; it is given the sizes that we look at, which its helper leaves to the caller. Ours also
looks a second time where it is in doubt, and asks of every face whether it is upright. Each runs in a process of its
own, so that its memory is its own. Prints Markdown.
"""

import argparse
import json
import random
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT)]

from osdface_core import load_detector, read_photo  # noqa: E402
from osdface_core.detection.detector import SHORT_SIDE, fitted  # noqa: E402
from osdface_core.detection.load import load_retinaface  # noqa: E402

FRAMES = {"1280x720": (720, 1280), "4000x3000": (3000, 4000)}
CONTESTANTS = ("ours", "facexlib's")

Detect = Callable[[Tensor], int]
"""Finds the faces of [B,3,H,W] and says how many there are."""


def ours(weights: str) -> Detect:
    detector = load_detector(weights)
    return lambda images: len(detector.detect(images))


def facexlibs(weights: str) -> Detect:
    import cv2
    from facexlib.detection.retinaface import RetinaFace

    cv2.setNumThreads(1)
    network, _ = load_retinaface(weights)
    theirs = RetinaFace(network_name=network.config.body, device=torch.device("cpu"))
    theirs.load_state_dict(network.state_dict())

    @torch.no_grad()
    def detect(images: Tensor) -> int:
        count = 0
        for image in images:
            height, width = fitted(*image.shape[1:], SHORT_SIDE)
            bgr = image.flip(0).permute(1, 2, 0).mul(255).numpy()
            resized = cv2.resize(bgr, (width, height), interpolation=cv2.INTER_LANCZOS4)
            count += len(theirs.detect_faces(resized, 0.8))
        return count

    return detect


def frames(count: int, height: int, width: int) -> Tensor:
    """So many frames with one face each, which moves from one to the next."""
    photo = read_photo(ROOT / "photos" / "astronaut.png").pixels
    side = min(height, width) * 7 // 8
    result = torch.full((count, 3, height, width), 0.5)
    for number in range(count):
        result[number, :, :side, 8 * number : 8 * number + side] = F.interpolate(photo, (side, side), mode="bilinear")[
            0
        ]
    return result


def memory() -> float:
    """Megabytes that this process has."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1e3


def measure(name: str, weights: str, rounds: int, sizes: int) -> dict[str, float]:
    torch.set_num_threads(1)
    detect = (ours if name == "ours" else facexlibs)(weights)
    found: dict[str, float] = {}
    chosen = random.Random(0)
    for number in range(sizes):
        detect(frames(1, chosen.randint(480, 960), chosen.randint(480, 1280)))
        if number in (0, sizes - 1):
            found[f"MB after {number + 1} size(s)"] = memory()
    for label, (height, width) in FRAMES.items():
        for count in (1, 8):
            images = frames(count, height, width)
            times = []
            for _ in range(rounds):
                start = time.process_time()
                detect(images)
                times.append((time.process_time() - start) / count)
            found[f"CPU s a frame, {count} of {label}"] = min(times)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU seconds and memory of detection, beside facexlib's.")
    parser.add_argument("--detector", default="starter", help="RetinaFace's weights, for both")
    parser.add_argument("--sizes", type=int, default=300, help="how many distinct sizes of images to detect faces in")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", choices=CONTESTANTS, help="measure this one here, and print JSON")
    chosen = parser.parse_args()
    if chosen.one:
        with warnings.catch_warnings(action="ignore"):
            found = measure(chosen.one, chosen.detector, chosen.rounds, chosen.sizes)
        sys.stdout.write(json.dumps(found))
        return
    options = ["--detector", chosen.detector, "--sizes", str(chosen.sizes), "--rounds", str(chosen.rounds)]
    rows = {}
    for name in CONTESTANTS:
        run = [sys.executable, __file__, "--one", name, *options]
        rows[name] = json.loads(subprocess.run(run, check=True, capture_output=True, text=True).stdout)
    sys.stdout.write(f"| | {' | '.join(CONTESTANTS)} |\n|---|{'---|' * len(CONTESTANTS)}\n")
    for what in rows["ours"]:
        sys.stdout.write(f"| {what} | {' | '.join(f'{rows[name][what]:.4g}' for name in CONTESTANTS)} |\n")


if __name__ == "__main__":
    main()

"""What a group photo of 12 megapixels costs besides the restoration of its faces: detection, crops and paste.

    python benchmarks/group_photo.py --face SECONDS [--detector WEIGHTS] [--shared ../shared]

SECONDS is what one face takes to be restored, in the same CPU seconds on one thread: benchmarks/speed.py prints it. The
photo is the shared data's, 29 people, enlarged. Prints Markdown.
"""

import argparse
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT)]

from osdface_core import align_faces, load_detector, paste_faces, read_photo  # noqa: E402

PIXELS = 12e6


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description="Detection, crops and paste of a 12-megapixel group photo.")
    parser.add_argument("--face", type=float, required=True, help="CPU seconds that restoring one face takes")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="the shared test data")
    parser.add_argument("--detector", type=Path, help="RetinaFace's weights (default: the shared MobileNet's)")
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    data = chosen.shared / "data"
    detector = load_detector(chosen.detector or data / "weights" / "detection_mobilenet0.25_Final.pth")
    photo = read_photo(data / "images" / "group_solvay1927.jpg").pixels
    scale = (PIXELS / photo[0, 0].numel()) ** 0.5
    photo = F.interpolate(photo, scale_factor=scale, mode="bicubic").clamp(0, 1)
    best: dict[str, float] = {}
    for _ in range(chosen.rounds):
        times = [time.process_time()]
        faces = detector.detect(photo)
        times.append(time.process_time())
        crops = align_faces(photo, faces, 512)
        times.append(time.process_time())
        paste_faces(photo, crops)
        times.append(time.process_time())
        for n, stage in enumerate(("detection", "crops", "paste")):
            best[stage] = min(times[n + 1] - times[n], best.get(stage, float("inf")))
    write = sys.stdout.write
    write(f"{photo.shape[3]}x{photo.shape[2]} pixels, {len(faces)} faces, one thread, {chosen.face} s a face\n\n")
    write("| stage | CPU s, photo | CPU s, a face | share of a face |\n|---|---|---|---|\n")
    for stage, seconds in (*best.items(), ("all", sum(best.values()))):
        each = seconds / len(faces)
        write(f"| {stage} | {seconds:.2f} | {each:.3f} | {each / chosen.face:.2%} |\n")


if __name__ == "__main__":
    main()

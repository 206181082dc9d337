"""Pasting faces back into a 4K image: ours against facexlib's helper.

    python benchmarks/paste.py [--rounds 3]

The same crops and matrices go through both. Every case runs in a process of its own, on one thread. Prints the
least CPU seconds of the rounds, and how far the process's memory rose above what it held before.
"""

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import torch

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from conftest import face_at  # noqa: E402
from facexlib.utils.face_restoration_helper import FaceRestoreHelper  # noqa: E402

from osdface_core import FaceCrops, Faces, align_faces, paste_faces  # noqa: E402
from osdface_core.faces import inverse  # noqa: E402

HEIGHT, WIDTH = 2160, 3840


def scene(count: int) -> tuple[torch.Tensor, FaceCrops]:
    """A 4K image with faces of 200 pixels, in rows."""
    image = torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    places = [(200 + 340 * (n % 10), 220 + 400 * (n // 10)) for n in range(count)]
    faces = tuple(face_at(x, y, 200, index=n, angle=5 * (n % 7) - 15) for n, (x, y) in enumerate(places))
    return image, align_faces(image, Faces(faces, 1, HEIGHT, WIDTH), 512)


def facexlib_paste(image: torch.Tensor, crops: FaceCrops) -> np.ndarray:
    """facexlib's own paste, on a helper without its networks."""
    helper = FaceRestoreHelper.__new__(FaceRestoreHelper)
    helper.upscale_factor, helper.use_parse, helper.face_size = 1, False, (512, 512)
    helper.input_img = to_uint8(image)
    helper.restored_faces = [to_uint8(crop[None]) for crop in crops.images]
    helper.inverse_affine_matrices = [matrix.numpy().copy() for matrix in inverse(crops.to_crop)]
    return helper.paste_faces_to_input_image()


def to_uint8(image: torch.Tensor) -> np.ndarray:
    return (image[0].movedim(0, -1).flip(-1) * 255).round().byte().contiguous().numpy()


PASTES = {"ours": paste_faces, "facexlib": facexlib_paste}


def memory(what: str) -> float:
    """MiB of this process: "VmRSS" as it is, "VmHWM" at its highest."""
    return int(re.search(rf"{what}:\s+(\d+)", Path("/proc/self/status").read_text(encoding="utf-8"))[1]) / 1024


def measure(name: str, count: int, rounds: int) -> None:
    """Print CPU seconds and the rise of memory in MiB of one paste."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    image, crops = scene(count)
    PASTES[name](image, crops.take(range(1)))
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # forget the highest so far
    before, times = memory("VmRSS"), []
    for _ in range(rounds):
        started = time.process_time()
        PASTES[name](image, crops)
        times.append(time.process_time() - started)
    sys.stdout.write(f"{min(times)} {memory('VmHWM') - before}\n")


def main() -> None:
    arguments = argparse.ArgumentParser(description="Paste: ours against facexlib's.")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--measure", nargs=2, metavar=("NAME", "COUNT"), help="one case, in this process")
    chosen = arguments.parse_args()
    if chosen.measure:
        return measure(chosen.measure[0], int(chosen.measure[1]), chosen.rounds)
    write = sys.stdout.write
    write("| faces on 4K | ours, CPU s | facexlib, CPU s | ratio | ours, MiB | facexlib, MiB |\n")
    write("|---|---|---|---|---|---|\n")
    for count in (1, 10, 50):
        cases = []
        for name in PASTES:
            command = [sys.executable, __file__, "--measure", name, str(count), "--rounds", str(chosen.rounds)]
            cases.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
        (ours, our_memory), (theirs, their_memory) = [(float(time), float(peak)) for time, peak in cases]
        write(
            f"| {count} | {ours:.2f} | {theirs:.2f} | {theirs / ours:.1f} | {our_memory:.0f} | {their_memory:.0f} |\n"
        )
    return None


if __name__ == "__main__":
    main()

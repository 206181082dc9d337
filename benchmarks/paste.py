"""Pasting faces back into a 4K image: ours against facexlib's helper, in one run.

    python benchmarks/paste.py [--rounds 3]

The same crops and matrices go through both, in turns. Prints medians of the process's CPU seconds.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

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


def cpu_seconds(paste, image, crops) -> float:
    started = time.process_time()
    paste(image, crops)
    return time.process_time() - started


def main() -> None:
    arguments = argparse.ArgumentParser(description="Paste: ours against facexlib's.")
    arguments.add_argument("--rounds", type=int, default=3)
    rounds = arguments.parse_args().rounds
    write = sys.stdout.write
    write("| faces on 4K | ours, CPU s | facexlib, CPU s | ratio |\n|---|---|---|---|\n")
    for count in (1, 10, 50):
        image, crops = scene(count)
        times: dict[str, list[float]] = {name: [] for name in PASTES}
        for _ in range(rounds):
            for name, paste in PASTES.items():
                times[name].append(cpu_seconds(paste, image, crops))
        ours, theirs = (statistics.median(times[name]) for name in PASTES)
        write(f"| {count} | {ours:.2f} | {theirs:.2f} | {theirs / ours:.1f} |\n")


if __name__ == "__main__":
    main()

"""Seams: what pasting changes where nothing was restored, ours against facexlib's helper, on real photos.

    python benchmarks/seams.py [--shared ../shared]

Every face is cut out and pasted back as it is. Prints the largest change in levels of 255: in the middle of the faces,
which is what interpolating twice costs (the floor); in their soft borders; beyond them. "Seam" is the same for the
difference blurred by 3 pixels, which leaves steps and shadows and takes out lost sharpness.

"Averaged" is the default, which cannot alias but softens single pixels; "one sample" is sampled as facexlib does. The
ratio compares these two.
"""

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
import torch

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from paste import facexlib_paste  # noqa: E402

from osdface_core import FaceCrops, align_faces, load_detector, paste_faces, read_photo  # noqa: E402

BORDER = (132, 133, 135)
"""The grey that facexlib fills a crop with beyond the photo's edge, RGB."""


def facexlib_crops(photo: np.ndarray, crops: FaceCrops) -> FaceCrops:
    """The same faces as facexlib's helper cuts them: photo [H,W,3] uint8."""
    cut = [cv2.warpAffine(photo, matrix.numpy(), (512, 512), borderValue=BORDER) for matrix in crops.to_crop]
    return crops.with_images(torch.from_numpy(np.stack(cut)).movedim(-1, 1).float() / 255)


def largest(change: np.ndarray, where: np.ndarray) -> float:
    return float(np.abs(change[where]).max()) if where.any() else 0.0


def main() -> None:
    arguments = argparse.ArgumentParser(description="Seams: ours against facexlib's.")
    arguments.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    data = arguments.parse_args().shared / "data"
    detector = load_detector(data / "weights" / "detection_mobilenet0.25_Final.pth")
    write = sys.stdout.write
    write("| photo | faces | floor | border: averaged | one sample | facexlib | beyond: ours | facexlib |")
    write(" seam: averaged | one sample | facexlib | ratio |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n")
    for path in sorted((data / "images").glob("*.*")):
        image = read_photo(path).pixels
        crops = align_faces(image, detector.detect(image))
        if not len(crops):
            continue
        photo = image[0].movedim(0, -1).numpy()
        levels = (photo * 255).round().astype(np.uint8)
        results = [paste_faces(image, crops, antialias=antialias) for antialias in (True, False)]
        averaged, one = (result.image[0].movedim(0, -1).numpy() * 255 - photo * 255 for result in results)
        theirs = facexlib_paste(image, facexlib_crops(levels, crops))[..., ::-1].astype(np.float32) - levels
        mask = results[0].mask[0].numpy()
        middle, border, beyond = mask == 1, (mask > 0) & (mask < 1), mask == 0
        edge = cv2.dilate(border.astype(np.uint8), np.ones((15, 15), np.uint8)) > 0
        changes = (averaged, one, theirs)
        seams = [largest(cv2.GaussianBlur(change, (0, 0), 3), edge) for change in changes]
        cells = [largest(one, middle), *(largest(change, border) for change in changes)]
        cells += [largest(averaged, beyond), largest(theirs, beyond), *seams, seams[2] / seams[1]]
        write(f"| {path.name} | {len(crops)} | {' | '.join(f'{cell:.1f}' for cell in cells)} |\n")


if __name__ == "__main__":
    main()

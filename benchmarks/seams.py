"""Seams: what pasting changes where nothing should change, ours against facexlib's helper, on real photos.

    python benchmarks/seams.py [--shared ../shared]

Two restorations whose right result is known, as the largest and the root mean square change in levels of 255, inside
the mask and beyond it.

"As cut": every face is cut out and pasted back as it is, so nothing should change. A crop cannot carry the photo's
finest detail through two interpolations; that is the floor of any paste that takes all of its pixels from the crop,
such as ours with `plain`.

"Perfect": the photo is reduced 4 times, and the faces of the full photo, which have all of its detail and more, are
pasted into it. Nothing should change either; what does is aliasing, or lost sharpness.
"""

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from paste import facexlib_paste  # noqa: E402

from osdface_core import FaceCrops, align_faces, load_detector, paste_faces, read_photo  # noqa: E402

BORDER = (132, 133, 135)
"""The grey that facexlib fills a crop with beyond the photo's edge, RGB."""
REDUCED = 4


def facexlib_crops(photo: np.ndarray, crops: FaceCrops) -> FaceCrops:
    """The same faces as facexlib's helper cuts them: photo [H,W,3] uint8."""
    cut = [cv2.warpAffine(photo, matrix.numpy(), (512, 512), borderValue=BORDER) for matrix in crops.to_crop]
    return crops.with_images(torch.from_numpy(np.stack(cut)).movedim(-1, 1).float() / 255)


def theirs(image: torch.Tensor, crops: FaceCrops) -> torch.Tensor:
    pasted = facexlib_paste(image, crops)[..., ::-1].copy()
    return torch.from_numpy(pasted).movedim(-1, 0)[None].float() / 255


def changes(before: torch.Tensor, after: torch.Tensor, mask: torch.Tensor) -> list[float]:
    """Largest and root mean square change inside the mask, and the largest beyond it, in levels."""
    change = (after - before)[0] * 255
    inside, beyond = change[:, mask[0] > 0], change[:, mask[0] == 0]
    return [inside.abs().max().item(), inside.square().mean().sqrt().item(), beyond.abs().max().item()]


def main() -> None:
    arguments = argparse.ArgumentParser(description="Seams: ours against facexlib's.")
    arguments.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    data = arguments.parse_args().shared / "data"
    detector = load_detector(data / "weights" / "detection_mobilenet0.25_Final.pth")
    as_cut, perfect = [], []
    for path in sorted((data / "images").glob("*.*")):
        image = read_photo(path).pixels
        height, width = (side // REDUCED * REDUCED for side in image.shape[2:])
        image = image[..., :height, :width].contiguous()
        crops = align_faces(image, detector.detect(image))
        if not len(crops):
            continue
        levels = (image[0].movedim(0, -1).numpy() * 255).round().astype(np.uint8)
        ours = paste_faces(image, crops)
        columns = [
            changes(image, ours.image, ours.mask),
            changes(image, paste_faces(image, crops, plain=True).image, ours.mask),
            changes(image, theirs(image, facexlib_crops(levels, crops)), ours.mask),
        ]
        as_cut.append([path.name, len(crops), *(value for column in columns for value in column)])

        small = (F.avg_pool2d(image, REDUCED) * 255).round() / 255
        to_crop = torch.cat([crops.to_crop[..., :2] * REDUCED, crops.to_crop[..., 2:]], dim=2)
        to_crop[..., 2] += crops.to_crop[..., :2].sum(-1) * (REDUCED - 1) / 2
        ours = paste_faces(small, crops)
        columns = [
            changes(small, ours.image, ours.mask),
            changes(small, theirs(small, FaceCrops(crops.images, crops.faces, to_crop)), ours.mask),
        ]
        ratios = [them / us for us, them in zip(columns[0][:2], columns[1][:2], strict=True)]
        perfect.append([path.name, len(crops), *columns[0], *columns[1], *ratios])
    each = ("largest", "RMS", "beyond")
    names = [f"{whose}: {what}" for whose in ("ours", "plain", "facexlib") for what in each]
    write_table(["as cut", "faces", *names], as_cut)
    names = [f"{whose}: {what}" for whose in ("ours", "facexlib") for what in each]
    write_table(["perfect", "faces", *names, "ratio: largest", "ratio: RMS"], perfect)


def write_table(names: list[str], rows: list[list]) -> None:
    lines = [names, ["---"] * len(names)]
    lines += [[f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    sys.stdout.write("\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n\n")


if __name__ == "__main__":
    main()

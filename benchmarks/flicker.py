"""Flicker of a restored face in a video: frame by frame against tracked, and tracked and steadied, in one run.

    python benchmarks/flicker.py [--shared ../shared] [--weights FILE] [--frames 12] [--noise 0.03]

A photo of a person becomes a still video with a sensor's noise. Prints the mean difference from one frame to the next
inside the pasted face, in levels of 255. What the noise alone makes of the unrestored video stands beside it.
"""

import argparse
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from clips import still  # noqa: E402

from osdface_core import (  # noqa: E402
    align_faces,
    encode_prompts,
    load_detector,
    load_model,
    paste_faces,
    read_photo,
    restore_crops,
)
from osdface_core.video.denoise import steady_crops  # noqa: E402
from osdface_core.video.track import find_cuts, thumbnails, track_faces  # noqa: E402

PHOTOS = ("astronaut.png", "small_wh_240p.jpg")


def restore(clip, faces, model, steady=False):
    crops = align_faces(clip, faces, model.config.crop_size)
    crops = steady_crops(crops) if steady else crops
    return paste_faces(clip, restore_crops(model.one_step, crops, encode_prompts(model.vre, crops)))


def flicker(video, mask) -> float:
    """Mean absolute difference between frames [B,3,H,W] where both masks [B,H,W] take the restored face, 0..255."""
    inside = ((mask[1:] > 0.5) & (mask[:-1] > 0.5))[:, None].expand(-1, 3, -1, -1)
    return (video[1:] - video[:-1]).abs()[inside].mean().item() * 255


@torch.no_grad()
def main() -> None:
    arguments = argparse.ArgumentParser(description="Flicker of a restored face.")
    arguments.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    arguments.add_argument("--weights", type=Path, help="a bundle (default: the starter)")
    arguments.add_argument("--frames", type=int, default=12)
    arguments.add_argument("--noise", type=float, default=0.03, help="standard deviation, 0..1")
    chosen = arguments.parse_args()
    data = chosen.shared / "data"
    model = load_model(chosen.weights)
    detector = load_detector(data / "weights" / "detection_mobilenet0.25_Final.pth")
    write = sys.stdout.write
    write("| photo | unrestored | frame by frame | tracked | steadied too | ratio |\n|---|---|---|---|---|---|\n")
    for name in PHOTOS:
        clip = still(read_photo(data / "images" / name).pixels[0], chosen.frames, chosen.noise)
        found = detector.detect(clip)
        tracked = track_faces(found, cuts=find_cuts(thumbnails(clip)))
        videos = [restore(clip, found, model), restore(clip, tracked, model), restore(clip, tracked, model, True)]
        mask = videos[1].mask
        levels = [flicker(video, mask) for video in (clip, *(video.image for video in videos))]
        write(f"| {name} | {' | '.join(f'{level:.2f}' for level in levels)} | {levels[1] / levels[3]:.1f} |\n")


if __name__ == "__main__":
    main()

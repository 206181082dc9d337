"""Pictures of photos before and after, for the templates and the documents: what a run really gives.

python -m host.before_after
"""

import tempfile
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

import osdface_core

from .client import ROOT, Server, start_standin
from .templates import CLIP, OLD, PORTRAIT, TEMPLATES, Template, photo

DOCS = ROOT / "docs"
SIDE, LINE = 400, 4
TALL = 2.1
"""How high a part of a photo with one face is, in heights of that face."""


def picture(path: Path) -> Image.Image:
    """A photo, or the first frame of a video."""
    if path.suffix == ".webm":
        return Image.fromarray(cv2.VideoCapture(str(path)).read()[1][..., ::-1])
    return Image.open(path).convert("RGB")


def run(server: Server, template: Template) -> tuple[Image.Image, Image.Image]:
    """What a template starts from and what it saves, at one size. Of one that needs a download: its photo, restored."""
    prompt = photo(template.sample) if template.needs else template.prompt
    saved = server.run(prompt)["save"]["images"][0]
    after = picture(server.base / "output" / saved["filename"])
    return picture(server.base / "input" / template.sample).resize(after.size, Image.Resampling.BICUBIC), after


def beside(*pictures: Image.Image) -> Image.Image:
    """Pictures of one height in a row, with a white line between them."""
    rows = [np.asarray(one) for one in pictures]
    line = np.full((rows[0].shape[0], LINE, 3), 255, np.uint8)
    return Image.fromarray(np.hstack([part for row in rows for part in (row, line)][:-1]))


def thumbnail(before: Image.Image, after: Image.Image) -> Image.Image:
    """A square whose left half is a face as it was and whose right half is the same restored.

    Where a photo has several faces, as much of its height as there is, around the second.
    """
    pixels = torch.from_numpy(np.array(before)).movedim(-1, 0)[None].float() / 255
    faces = osdface_core.load_detector().detect(pixels).faces
    left, top, right, bottom = faces[min(1, len(faces) - 1)].box
    height = before.height if len(faces) > 1 else min(before.height, TALL * (bottom - top))
    width = height * (SIDE - LINE) / 2 / SIDE
    x = max(0, min((left + right - width) / 2, before.width - width))
    y = max(0, min((top + bottom - height) / 2, before.height - height))
    size = (SIDE - LINE) // 2, SIDE
    halves = (one.resize(size, Image.Resampling.LANCZOS, (x, y, x + width, y + height)) for one in (before, after))
    return beside(*halves)


def banner(pairs: list[tuple[Image.Image, Image.Image]]) -> Image.Image:
    """Thumbnails in a row, in the middle of a field of 21:9."""
    row = beside(*(thumbnail(*pair) for pair in pairs))
    field = Image.new("RGB", (21 * 64, 9 * 64), (24, 26, 30))
    field.paste(row, ((field.width - row.width) // 2, (field.height - row.height) // 2))
    return field


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = start_standin(Path(folder))
        made = {title: run(server, template) for title, template in TEMPLATES.items()}
        server.stop()
    for title, (before, after) in made.items():
        thumbnail(before, after).save(ROOT / "workflows" / f"{title}.jpg", quality=82)
    samples = {template.sample: made[title] for title, template in reversed(TEMPLATES.items())}
    beside(*samples[PORTRAIT]).save(DOCS / "before_after.jpg", quality=85)
    thumbnail(*samples[PORTRAIT]).resize((256, 256), Image.Resampling.LANCZOS).save(DOCS / "icon.png")
    banner([samples[name] for name in (OLD, PORTRAIT, CLIP)]).save(DOCS / "banner.jpg", quality=85)


if __name__ == "__main__":
    main()

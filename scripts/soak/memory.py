"""Photos of as many sizes as there are photos, one after the other: does memory stay flat, is every file closed?

    python scripts/soak/memory.py [--photos 3000] [--seed 1] [--sides 60 450] [--look 128 256] [-o memory.png]

Every photo is made, read, searched, restored where a face is in it, and written, in each format in turn. The detector
looks at it with a short side of so many pixels (--look); fewer take less time. Fails if the resident memory of the
last tenth, by its median, is more than 5 % above that of the tenth after the warm-up, or a file is open at the end that
was not open then. Prints megabytes along the way.
"""

import argparse
import os
import random
import sys
import tempfile
from pathlib import Path
from statistics import median

from PIL import features

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_NUM_THREADS", "1")

from osdface_core.detection.detector import SHORT_SIDE  # noqa: E402

WARM = 0.2
"""The share of the photos that warm it up."""
FLAT = 1.05
FACES = 10
"""One photo in so many has a face."""
FORMATS = ".png", ".jpg", ".webp", ".tif", ".bmp", *([".avif"] if features.check("avif") else [])


def resident() -> float:
    """Megabytes."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6


def open_files() -> set[str]:
    found = set()
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            found.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        except FileNotFoundError:  # that of the listing itself
            continue
    return {name for name in found if name.startswith("/") and not name.startswith("/dev/")}


def run(
    photos: int, seed: int, sides: tuple[int, int], look: tuple[int, int], folder: Path
) -> tuple[list[float], set[str]]:
    """Resident memory after each photo, and the files that are open at the end and were not after the warm-up."""
    import torch

    import osdface_core as osd

    torch.set_num_threads(1)
    chance, model, detector = random.Random(seed), osd.load_model(), osd.load_detector("starter")
    portrait = osd.read_photo(ROOT / "photos" / "astronaut.png").pixels[:, :, 20:220, 130:330]
    memory, before = [], set()
    for number in range(photos):
        height, width = chance.randint(*sides), chance.randint(*sides)
        pixels = torch.full((1, 3, height, width), 0.5)
        if number % FACES == 0:
            corner = portrait[..., :height, :width]
            pixels[..., : corner.shape[2], : corner.shape[3]] = corner
        suffix = FORMATS[number % len(FORMATS)]
        osd.write_photo(folder / f"in{suffix}", pixels)
        photo = osd.read_photo(folder / f"in{suffix}")
        faces = detector.detect(photo.pixels, short_side=look)
        result = osd.restore_image(photo.pixels, model, faces=faces)
        osd.write_photo(folder / f"out{suffix}", result.image, like=photo)
        memory.append(resident())
        if number == int(WARM * photos):
            before = open_files()
        if number % max(1, photos // 20) == 0:
            sys.stdout.write(f"{number}: {memory[-1]:.0f} MB\n")
            sys.stdout.flush()
    return memory, open_files() - before


def plot(memory: list[float], path: Path) -> None:
    from PIL import Image, ImageDraw

    width, height, top = 900, 400, max(memory) * 1.1
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    points = [
        (40 + n * (width - 60) / len(memory), height - 30 - m / top * (height - 50)) for n, m in enumerate(memory)
    ]
    draw.line(points, fill=(30, 90, 160), width=2)
    draw.line([(40, 20), (40, height - 30), (width - 20, height - 30)], fill="black")
    draw.text(
        (46, 6), f"resident memory: {memory[-1]:.0f} MB after {len(memory)} photos, each of another size", "black"
    )
    image.save(path)


def main() -> None:
    arguments = argparse.ArgumentParser(description="Memory over many photos.")
    arguments.add_argument("--photos", type=int, default=3000)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--sides", type=int, nargs=2, default=(120, 900), metavar=("LEAST", "MOST"))
    arguments.add_argument("--look", type=int, nargs=2, default=SHORT_SIDE, metavar=("LEAST", "MOST"))
    arguments.add_argument("-o", "--output", type=Path, help="a picture of the memory")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        memory, left = run(given.photos, given.seed, tuple(given.sides), tuple(given.look), Path(folder))
    if given.output:
        plot(memory, given.output)
    tenth = max(1, given.photos // 10)
    start = int(WARM * given.photos)
    first, last = median(memory[start : start + tenth]), median(memory[-tenth:])
    sys.stdout.write(
        f"{first:.0f} MB after the warm-up, {last:.0f} MB at the end ({last / first:.3f}); open: {left or 'none'}\n"
    )
    sys.exit(last > FLAT * first or bool(left))


if __name__ == "__main__":
    main()

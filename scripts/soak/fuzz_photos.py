"""Damage photos of every format at random, read them, and report whatever is not an ImageError.

    python scripts/soak/fuzz_photos.py --count 12000

The same seed makes the same files; one that is reported stays in the folder for looking at it. What is read is also
written again: EXIF data that make no sense must not keep a photo from that.
"""

import argparse
import faulthandler
import io
import logging
import random
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, features

sys.path.insert(0, str(Path(__file__).parents[2]))

from osdface_core import ImageError, read_photo, write_photo

log = logging.getLogger(__name__)

SLOW = 10.0
"""Seconds that no file of this size may take."""

NUMBERS = [0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF]
"""Lengths, offsets and counts that programs stumble over."""

WRITTEN = (".png", ".jpg", ".webp", ".tif")


@dataclass
class Report:
    """What became of the files."""

    read: int = 0
    refused: int = 0
    failures: list[str] = field(default_factory=list)
    """What was raised that is not an ImageError, or took too long."""
    kinds: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0


def fuzz(count: int, seed: int, folder: Path, first: int = 0) -> Report:
    """Read `count` damaged photos, each made from `seed` and its number alone. Those that fail stay in `folder`."""
    report, sources = Report(), dict(photos())
    for number in range(first, first + count):
        rng = random.Random(f"{seed} {number}")
        kind = rng.choice(sorted(sources))
        path = folder / f"{seed}-{number}-{kind}"
        path.write_bytes(damaged(sources[kind], kind, rng))
        start = time.monotonic()
        try:
            photo = read_photo(path)
            report.read += 1
            if photo.exif or photo.icc_profile:
                target = folder / f"again{rng.choice(WRITTEN)}"
                write_photo(target, photo.pixels[:, :, :64, :64], photo if photo.alpha is None else None)
                target.unlink()
        except ImageError as error:
            if path.name in str(error):
                report.refused += 1
            else:
                report.failures.append(f"{path.name}: is not named by: {error}")
        except Exception:  # noqa: BLE001 - to find these is what this is for
            report.failures.append(f"{path.name}: {traceback.format_exc()}")
        seconds = time.monotonic() - start
        report.slowest = max(report.slowest, seconds)
        report.kinds[kind] += 1
        if seconds > SLOW:
            report.failures.append(f"{path.name}: {seconds:.0f} s")
        if not (report.failures and report.failures[-1].startswith(path.name)):
            path.unlink()
    return report


def photos() -> Iterator[tuple[str, bytes]]:
    """Small sound files of every format and of most ways to write it, by name."""
    values = np.random.default_rng(0).integers(0, 256, (12, 16, 4), np.uint8).repeat(3, 0).repeat(3, 1)
    rgba, rgb = Image.fromarray(values), Image.fromarray(values[..., :3])
    deep = Image.fromarray(values[..., 0].astype(np.uint16) * 257)
    notes = {"exif": sound_exif(), "icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()}
    frames = {"frames": [rgb.rotate(90), rgb.rotate(180)]}
    yield "rgb.png", saved(rgb, "PNG", **notes)
    yield "rgba.png", saved(rgba, "PNG")
    yield "palette.png", saved(rgb.quantize(16), "PNG", transparency=3)
    yield "deep.png", saved(deep, "PNG", exif=notes["exif"])
    yield "animated.png", saved(rgb, "PNG", **frames)
    yield "plain.jpg", saved(rgb, "JPEG", **notes)
    yield "progressive.jpg", saved(rgb, "JPEG", progressive=True, exif=notes["exif"])
    yield "cmyk.jpg", saved(rgb.convert("CMYK"), "JPEG")
    yield "several.jpg", saved(rgb, "MPO", **frames)
    yield "lossy.webp", saved(rgb, "WEBP", **notes)
    yield "lossless.webp", saved(rgba, "WEBP", lossless=True)
    yield "animated.webp", saved(rgb, "WEBP", **frames)
    yield "plain.bmp", saved(rgb, "BMP")
    yield "palette.bmp", saved(rgb.quantize(16), "BMP")
    yield "animated.gif", saved(rgb, "GIF", **frames)
    for name in ("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits", "group4"):
        yield f"{name}.tif", saved(rgb.convert("1") if name == "group4" else rgb, "TIFF", compression=name)
    yield "notes.tif", saved(rgb, "TIFF", **notes)
    yield "several.tif", saved(rgba, "TIFF", **frames)
    if features.check("avif"):
        yield "plain.avif", saved(rgb, "AVIF", speed=10, **notes)
        yield "animated.avif", saved(rgb, "AVIF", speed=10, **frames)


def saved(image: Image.Image, kind: str, frames: Sequence[Image.Image] = (), **options: object) -> bytes:
    buffer = io.BytesIO()
    if frames:  # copies, since Pillow leaves on an image how it was written last
        options |= {"save_all": True, "append_images": [frame.copy() for frame in frames]}
    image.copy().save(buffer, kind, **options)
    return buffer.getvalue()


def sound_exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x013B] = 6, "a description", "someone"
    exif[0x8769] = {0x829A: 0.01, 0x9003: "2001:01:01 00:00:00"}
    exif[0x8825] = {1: "N", 2: (50.0, 6.0, 30.0)}
    return exif.tobytes()


def damaged(content: bytes, kind: str, rng: random.Random) -> bytes:
    """A copy with one to three things wrong."""
    for _ in range(rng.randint(1, 3)):
        content = rng.choice(DAMAGES)(content, kind, rng)
    return content


def flipped(content: bytes, kind: str, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def truncated(content: bytes, kind: str, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def header(content: bytes, kind: str, rng: random.Random) -> bytes:
    """Fields near the start replaced by telling numbers."""
    return with_number(content, rng.randrange(min(len(content), 128) + 1), rng)


def anywhere(content: bytes, kind: str, rng: random.Random) -> bytes:
    return with_number(content, rng.randrange(len(content) + 1), rng)


def with_number(content: bytes, place: int, rng: random.Random) -> bytes:
    number = struct.pack(rng.choice("<>") + "I", rng.choice(NUMBERS))[: rng.choice((1, 2, 4))]
    return content[:place] + number + content[place + len(number) :]


def rearranged(content: bytes, kind: str, rng: random.Random) -> bytes:
    """A stretch taken out, doubled or put elsewhere."""
    start, end = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    end = min(end, start + rng.choice((1, 4, 16, 64, 1024)))
    stretch, rest = content[start:end], content[:start] + content[end:]
    place = rng.randrange(len(rest) + 1)
    return rng.choice((rest, content[:end] + stretch + content[end:], rest[:place] + stretch + rest[place:]))


def with_exif(content: bytes, kind: str, rng: random.Random) -> bytes:
    """Another EXIF block, of entries that contradict their types: for formats that keep it apart from the pixels."""
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(content)) as image:
            warnings.simplefilter("ignore")
            if image.format not in ("PNG", "JPEG", "WEBP", "AVIF") or image.width * image.height > 10**6:
                return content
            return saved(image.convert("RGB"), image.format, exif=b"Exif\0\0" + random_exif(rng))
    except Exception:  # noqa: BLE001 - it is damaged too much already
        return content


def random_exif(rng: random.Random) -> bytes:
    """A TIFF directory of the tags that a photo's description has, with types, counts and offsets as chance has it."""
    order = rng.choice("<>")
    tags = [
        0x0112,
        0x010E,
        0x010F,
        0x0131,
        0x013B,
        0x8298,
        0x8769,
        0x8825,
        0xA005,
        0x9286,
        0x927C,
        rng.randrange(65536),
    ]
    entries = b""
    count = rng.randint(0, 8)
    for _ in range(count):
        length = rng.choice((0, 1, 1, 2, 5, rng.choice(NUMBERS)))
        value = rng.choice((rng.choice(NUMBERS), rng.randrange(256)))
        entries += struct.pack(order + "HHII", rng.choice(tags), rng.randint(0, 19), length, value)
    start = rng.choice((8, 8, 8, 8, rng.choice(NUMBERS)))
    following = rng.choice((0, 0, 8, rng.choice(NUMBERS)))
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", start)
    return head + struct.pack(order + "H", count) + entries + struct.pack(order + "I", following) + rng.randbytes(64)


DAMAGES: list[Callable[[bytes, str, random.Random], bytes]] = [
    *(flipped, truncated, header, header, anywhere, rearranged, with_exif, with_exif)
]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--count", type=int, default=12000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--first", type=int, default=0, help="the number to begin with")
    options.add_argument("--folder", type=Path, help="for the files that fail (default: a new one)")
    chosen = options.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    logging.getLogger("osdface_core").setLevel(logging.ERROR)
    logging.getLogger("PIL").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    faulthandler.enable()
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="fuzz_photos"))
    folder.mkdir(parents=True, exist_ok=True)
    report = fuzz(chosen.count, chosen.seed, folder, chosen.first)
    for failure in report.failures:
        log.info("%s", failure)
    log.info(
        "%d files of %d kinds: %d read, %d refused by an ImageError, %d failures; the slowest took %.2f s",
        *(chosen.count, len(report.kinds), report.read, report.refused, len(report.failures), report.slowest),
    )
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())

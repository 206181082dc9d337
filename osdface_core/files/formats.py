"""Formats of image files: which are read, known by their content, and in which they are written.

| read | written as |
|---|---|
| PNG, TIFF, BMP | the same, every pixel as it is; PNG with 16 bits a channel, too |
| JPEG | JPEG, quality 95, colours at full resolution |
| WebP | WebP, without loss where the source has none, else quality 95 |
| GIF | PNG |
| AVIF, where Pillow has it | AVIF, quality 95, colours at full resolution |
| HEIC, where `osdface[heic]` is installed | HEIC, likewise |

Of an animation the first frame is read, of several pages the first.
"""

import os
import struct
import zlib
from pathlib import Path

from PIL import Image

from ..libraries import library

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "HEIF")
"""What is read, in Pillow's terms, where it has a plugin for it. Others are for no photos, and some start programs."""

HEIF_SUFFIXES = (".heic", ".heif")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".avif", *HEIF_SUFFIXES)
"""The kinds of file that can be written; HEIF and AVIF where there is a library for them."""

WRITTEN_AS = {".gif": ".png"}
"""The suffixes of formats that are read, but cannot hold what is made of them."""

READ_SUFFIXES = (*SUFFIXES, *WRITTEN_AS)
"""The kinds of file that are read from a folder."""

LOSSLESS = ("PNG", "TIFF", "BMP", "GIF")
"""Formats that keep every pixel as it is, in Pillow's terms; WebP may be either."""
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")
"""What the first box of a HEIF file names."""

ENCODING: dict[str, dict[str, object]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95},
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
    "HEIF": {"quality": 95, "chroma": 444},
}
"""How formats are written that lose something, in Pillow's terms."""

DAMAGE = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError, SyntaxError),
    *(TypeError, ValueError, struct.error, zlib.error),
)
"""What EXIF data that make no sense raise, depending on which of their bytes are wrong."""

FIRST_FRAME = "it is an animation, its first frame is taken"


def prepare_decoders(head: bytes) -> None:
    """Make Pillow ready to read the file that begins so. Raises MissingLibraryError for HEIF without its library."""
    Image.init()
    if "HEIF" not in Image.OPEN and head[4:8] == b"ftyp" and head[8:12] in HEIF_BRANDS:
        library("pillow_heif").register_heif_opener()


def prepare_encoder(suffix: str) -> None:
    """Make Pillow ready to write a kind of file. Raises MissingLibraryError likewise."""
    Image.init()
    if suffix in HEIF_SUFFIXES and suffix not in Image.registered_extensions():
        library("pillow_heif").register_heif_opener()


def is_lossless(kind: str | None, data: bytes) -> bool:
    """Whether a file of a format, in Pillow's terms, keeps every pixel as it is."""
    if kind != "WEBP":
        return kind in LOSSLESS
    place = 12  # of the first of its chunks, each of which has a name and a length
    while place + 8 <= len(data):
        name, length = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        if name in (b"VP8L", b"VP8 "):
            return name == b"VP8L"
        place += 8 + length + length % 2
    return False


def notes_on(image: Image.Image, path: Path) -> tuple[str, ...]:
    """What a person should know about an image that is decoded already."""
    notes = []
    content = {"MPO": "JPEG", "DIB": "BMP"}.get(image.format or "", image.format)
    named = Image.registered_extensions().get(path.suffix.lower())
    if named is not None and named != content:
        notes.append(f"its name says {named}, its content is {content}")
    try:
        several = bool(getattr(image, "is_animated", False)) and image.format != "MPO"
    except DAMAGE:  # a second one that is damaged
        several = False
    if several:
        notes.append("there are several pages in it, the first is taken" if content == "TIFF" else FIRST_FRAME)
    return tuple(notes)


def written_name(name: str) -> str:
    """The name under which a file's photo is written: its own, but for the suffix of a format that cannot hold it."""
    stem, suffix = os.path.splitext(name)
    return stem + WRITTEN_AS.get(suffix.lower(), suffix)

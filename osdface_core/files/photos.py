"""Photos on disk: read and written whole, with their orientation, transparency, bit depth and colour profile."""

import io
import logging
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, PngImagePlugin, UnidentifiedImageError
from torch import Tensor

from ..errors import ImageError
from ..libraries import library
from .atomic_write import atomic_write

log = logging.getLogger(__name__)

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "HEIF")
"""What is read, in Pillow's terms, where it has a plugin for it. Others are for no photos, and some start programs."""

MAX_PIXELS = 160_000_000
"""Of the largest image that is read: the largest cameras take 151 million. As a tensor that is 1.9 GB, while a file of
half a megabyte can claim any number."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
"""The kinds of file that are read from a folder, and that can be written."""

DAMAGE = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError, SyntaxError),
    *(TypeError, ValueError, struct.error, zlib.error),
)
"""What EXIF data that make no sense raise, depending on which of their bytes are wrong."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
ORIENTATION = 0x0112
DESCRIPTIVE_TAGS = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298, 0x8769, 0x8825)
"""EXIF about the photo: description, camera, software, time, artist, copyright, shot, place. Other tags tell how the
pixels of a TIFF are laid out, and are not true of a copy."""

TURNS = {2: (0, 1, 0), 3: (0, 1, 1), 4: (0, 0, 1), 5: (1, 0, 0), 6: (1, 1, 0), 7: (1, 1, 1), 8: (1, 0, 1)}
"""EXIF orientation -> transpose, then mirror left-right, then mirror top-bottom."""


@dataclass(frozen=True, eq=False)
class Photo:
    """An image file's content, upright."""

    pixels: Tensor
    """[1,3,H,W] float32, 0..1; grey is repeated."""
    alpha: Tensor | None = None
    """[1,1,H,W] float32, 0..1, where the file has transparency."""
    bits: int = 8
    """Per channel: 8 or 16."""
    exif: bytes = b""
    icc_profile: bytes = b""
    """Where it is one for RGB."""


def read_photo(path: str | Path) -> Photo:
    """Read an image file, turned upright by its EXIF orientation; of an animation, its first frame.

    16 bits a channel are kept for PNG. EXIF data that cannot be read are left out, with a warning.
    Raises ImageError where the file is missing, damaged, no image, of another format than FORMATS, or larger than
    MAX_PIXELS.
    """
    path = Path(path)
    with opened(path) as (image, data):
        icc_profile = image.info.get("icc_profile") or b""
        deep = data.startswith(PNG_SIGNATURE) and data[24] == 16
        if not deep and image.mode[0] in "IF":
            raise ImageError(f"{path}: {image.mode} pixels are not read in this format. Save it as PNG first.")
        values = decode_deep_png(data) if deep else np.array(image.convert(plain_mode(image)))
        orientation, exif = read_exif(image, path)
        values = np.ascontiguousarray(upright(values, orientation).transpose(2, 0, 1))
        pixels = torch.from_numpy(values)[None].float()
    pixels /= 65535 if deep else 255
    return Photo(
        pixels=pixels[:, :3].contiguous(),
        alpha=pixels[:, 3:].contiguous() if pixels.shape[1] == 4 else None,
        bits=16 if deep else 8,
        exif=exif,
        icc_profile=icc_profile if icc_profile[16:20] == b"RGB " else b"",
    )


@contextmanager
def opened(path: Path) -> Iterator[tuple[Image.Image, bytes]]:
    """The image at `path`, not decoded yet, and the file's bytes: the one door to Pillow's decoders.

    Raises ImageError, also in the place of whatever a decoder raises within.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(f"{path}: this is a folder, a device or a pipe. Name an image file.")
        if status.st_size > 8 * MAX_PIXELS:
            raise ImageError(f"{path}: {status.st_size / 1e9:.1f} GB are more than any photo takes. Is it one?")
        data = path.read_bytes()
        Image.init()
        with Image.open(io.BytesIO(data), formats=[kind for kind in FORMATS if kind in Image.OPEN]) as image:
            if image.width * image.height > MAX_PIXELS:
                size = f"{image.width}x{image.height} pixels are more than the {MAX_PIXELS / 1e6:.0f} million that are"
                raise ImageError(f"{path}: {size} read. Make it smaller first.")
            yield image, data
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError(f"{path}: there is no such file. Check the path.") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{path}: this is not an image that can be read. Expected {', '.join(SUFFIXES)}.") from error
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise ImageError(f"{path}: the image cannot be read ({reason}). Is the file whole?") from error


def read_exif(image: Image.Image, path: Path) -> tuple[int, bytes]:
    """The orientation of an image that is decoded already, and its descriptive EXIF data."""
    orientation, content = 1, b""
    try:
        exif = image.getexif()
        value = exif.get(ORIENTATION)
        orientation = value if isinstance(value, int) else 1
        for tag in set(exif) - set(DESCRIPTIVE_TAGS):
            del exif[tag]
        content = exif.tobytes() if len(exif) else b""
    except DAMAGE as error:
        log.warning("%s: its EXIF data make no sense (%s) and are left out", path, error or type(error).__name__)
    return orientation, content


def plain_mode(image: Image.Image) -> str:
    return "RGBA" if image.has_transparency_data else "RGB"


def decode_deep_png(data: bytes) -> np.ndarray:
    """A 16-bit PNG (which Pillow would cut down to 8) as [H,W,3 or 4] uint16, RGB."""
    cv2 = library("cv2")
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise ValueError("damaged PNG")
    to_rgb = {2: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGBA}
    channels = values.shape[2] if values.ndim == 3 else 2
    return cv2.cvtColor(values, to_rgb[channels])


def upright(values: np.ndarray, orientation: int) -> np.ndarray:
    transpose, mirror, flip = TURNS.get(orientation, (0, 0, 0))
    values = values.transpose(1, 0, 2) if transpose else values
    values = values[:, ::-1] if mirror else values
    return values[::-1] if flip else values


def write_photo(path: str | Path, pixels: Tensor, like: Photo | None = None, *, truncate: bool = False) -> None:
    """Write `pixels` [1,3,H,W], 0..1, whole or not at all, in the format that the path's suffix names.

    like: the photo it was made from: its transparency (resized with it), colour profile and EXIF data
        are kept, and its 16 bits where the format is PNG.
    truncate: cut values off instead of rounding them, as the authors' program does.
    Raises ImageError where the format cannot hold it, OSError where the file cannot be written.
    """
    path, like = Path(path), like or Photo(pixels)
    if path.suffix.lower() not in SUFFIXES:
        raise ImageError(f"{path}: cannot write this kind of file. Choose one of {', '.join(SUFFIXES)}.")
    is_png = path.suffix.lower() == ".png"
    is_jpeg = path.suffix.lower() in (".jpg", ".jpeg")
    if like.alpha is not None and not is_jpeg:
        alpha = like.alpha.to(pixels)
        if alpha.shape[2:] != pixels.shape[2:]:
            alpha = F.interpolate(alpha, pixels.shape[2:], mode="bilinear", antialias=True)
        pixels = torch.cat([pixels, alpha], dim=1)
    deep = is_png and like.bits == 16
    top = 65535 if deep else 255
    levels = pixels[0].permute(1, 2, 0).cpu().clamp(0, 1) * top
    levels = levels.floor() if truncate else levels.round()
    values = levels.numpy().astype(np.uint16 if deep else np.uint8)
    try:
        content = encode_deep_png(values, like) if deep else encode(values, like, path.suffix.lower())
    except DAMAGE as error:
        raise ImageError(f"{path}: cannot be written as {path.suffix} ({error}).") from error
    with atomic_write(path) as partial:
        partial.write_bytes(content)


def encode(values: np.ndarray, like: Photo, suffix: str) -> bytes:
    """[H,W,3 or 4] uint8, RGB -> the file that `suffix` names. EXIF data that it cannot hold are left out."""
    buffer = io.BytesIO()
    kind = Image.registered_extensions()[suffix]
    options = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"quality": 95}}.get(kind, {})
    try:
        Image.fromarray(values).save(buffer, kind, exif=like.exif, icc_profile=like.icc_profile or None, **options)
    except DAMAGE as error:
        if not like.exif:
            raise
        log.warning("the EXIF data do not fit into %s (%s) and are left out", suffix, error or type(error).__name__)
        return encode(values, replace(like, exif=b""), suffix)
    return buffer.getvalue()


def encode_deep_png(values: np.ndarray, like: Photo) -> bytes:
    """[H,W,3 or 4] uint16, RGB -> PNG, with the colour profile and EXIF data that OpenCV leaves out."""
    cv2 = library("cv2")
    to_bgr = cv2.COLOR_RGB2BGR if values.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
    data = bytes(cv2.imencode(".png", cv2.cvtColor(values, to_bgr))[1])
    chunks = io.BytesIO()
    if like.icc_profile:
        PngImagePlugin.putchunk(chunks, b"iCCP", b"ICC Profile\0\0" + zlib.compress(like.icc_profile))
    if like.exif:
        PngImagePlugin.putchunk(chunks, b"eXIf", like.exif.removeprefix(b"Exif\0\0"))
    header_end = len(PNG_SIGNATURE) + 25
    return data[:header_end] + chunks.getvalue() + data[header_end:]

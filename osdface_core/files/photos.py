"""Photos on disk: read and written whole, with their orientation, transparency, bit depth and colour profile."""

import io
import logging
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, PngImagePlugin, UnidentifiedImageError
from torch import Tensor

from ..errors import ImageError, MissingLibraryError
from ..faces import check_finite
from ..libraries import library
from .atomic_write import atomic_write
from .formats import (
    DAMAGE,
    ENCODING,
    FORMATS,
    READ_SUFFIXES,
    SUFFIXES,
    is_lossless,
    notes_on,
    prepare_decoders,
    prepare_encoder,
)

log = logging.getLogger(__name__)

MAX_PIXELS = 160_000_000
"""Of the largest image that is read: the largest cameras take 151 million. As a tensor that is 1.9 GB, while a file of
half a megabyte can claim any number."""

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
    lossless: bool = False
    """Whether its format keeps every pixel as it is."""
    notes: tuple[str, ...] = ()
    """What a person should know about how it was read: that its name says another format, that more is in the file."""


def read_photo(path: str | Path) -> Photo:
    """Read an image file, turned upright by its EXIF orientation; of an animation, its first frame.

    16 bits a channel are kept for PNG. EXIF data that cannot be read are left out, with a warning; what else a person
    should know about how it was read is in the photo's notes.
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
        lossless = is_lossless(image.format, data)
        notes = notes_on(image, path)
        values = np.ascontiguousarray(upright(values, orientation).transpose(2, 0, 1))
        pixels = torch.from_numpy(values)[None].float()
    pixels /= 65535 if deep else 255
    return Photo(
        pixels=pixels[:, :3].contiguous(),
        alpha=pixels[:, 3:].contiguous() if pixels.shape[1] == 4 else None,
        bits=16 if deep else 8,
        exif=exif,
        icc_profile=icc_profile if icc_profile[16:20] == b"RGB " else b"",
        lossless=lossless,
        notes=notes,
    )


def count_pixels(path: str | Path) -> int:
    """How many pixels an image file says that it has, read from its head alone. Raises ImageError as `read_photo`."""
    path = Path(path)
    with refusing(path):
        check_file(path)
        with path.open("rb") as file, looking_into(file, path, file.read(64)) as image:
            return image.width * image.height


@contextmanager
def opened(path: Path) -> Iterator[tuple[Image.Image, bytes]]:
    """The image at `path`, not decoded yet, and the file's bytes.

    Raises ImageError, also in the place of whatever a decoder raises within.
    """
    with refusing(path):
        check_file(path)
        data = path.read_bytes()
        with looking_into(io.BytesIO(data), path, data) as image:
            yield image, data


def check_file(path: Path) -> None:
    """Raises ImageError for what is no file, or too large for a photo."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(f"{path}: this is a folder, a device or a pipe. Name an image file.")
    if status.st_size > 8 * MAX_PIXELS:
        raise ImageError(f"{path}: {status.st_size / 1e9:.1f} GB are more than any photo takes. Is it one?")


@contextmanager
def looking_into(file: BinaryIO, path: Path, head: bytes) -> Iterator[Image.Image]:
    """The image in an open file, of which `head` is the beginning, not decoded: the one door to Pillow's decoders.

    Raises ImageError for one that is too large, MissingLibraryError for HEIF without a library that reads it.
    """
    prepare_decoders(head)
    file.seek(0)
    with Image.open(file, formats=[kind for kind in FORMATS if kind in Image.OPEN]) as image:
        if image.width * image.height > MAX_PIXELS:
            size = f"{image.width}x{image.height} pixels are more than the {MAX_PIXELS / 1e6:.0f} million that are"
            raise ImageError(f"{path}: {size} read. Make it smaller first.")
        yield image


@contextmanager
def refusing(path: Path) -> Iterator[None]:
    """Whatever is raised while the image at `path` is read is raised as an ImageError that names it."""
    try:
        yield
    except ImageError:
        raise
    except MissingLibraryError as error:
        raise ImageError(f"{path}: {error}") from error
    except FileNotFoundError as error:
        raise ImageError(f"{path}: there is no such file. Check the path.") from error
    except PermissionError as error:
        raise ImageError(f"{path}: the system does not let it be read ({error.strerror or error}).") from error
    except UnidentifiedImageError as error:
        expected = ", ".join(READ_SUFFIXES)
        raise ImageError(f"{path}: this is not an image that can be read. Expected {expected}.") from error
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

    like, truncate: as `encode_photo` explains them.
    Raises as that does, and OSError where the file cannot be written.
    """
    content = encode_photo(path, pixels, like, truncate=truncate)
    with atomic_write(Path(path)) as partial:
        partial.write_bytes(content)


def encode_photo(path: str | Path, pixels: Tensor, like: Photo | None = None, *, truncate: bool = False) -> bytes:
    """What is in the file at `path` for `pixels` [1,3,H,W], 0..1, in the format that its suffix names.

    like: the photo it was made from: its transparency (resized with it), colour profile and EXIF data
        are kept, its 16 bits where the format is PNG, and where its own format loses nothing, nor does this one.
    truncate: cut values off instead of rounding them, as the authors' program does.
    Raises ImageError where it is no such image, holds NaN or infinities, or the format cannot hold it,
    MissingLibraryError for HEIF without a library that writes it.
    """
    path, like = Path(path), like or Photo(pixels)
    if pixels.ndim != 4 or pixels.shape[:2] != (1, 3) or not pixels.is_floating_point() or not pixels.numel():
        raise ImageError(f"{path}: expected one image [1,3,H,W], 0..1; got {list(pixels.shape)} {pixels.dtype}.")
    check_finite(pixels, "image")
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ImageError(f"{path}: cannot write this kind of file. Choose one of {', '.join(SUFFIXES)}.")
    prepare_encoder(suffix)
    if like.alpha is not None and suffix not in (".jpg", ".jpeg"):
        alpha = like.alpha.to(pixels)
        if alpha.shape[2:] != pixels.shape[2:]:
            alpha = F.interpolate(alpha, pixels.shape[2:], mode="bilinear", antialias=True)
        pixels = torch.cat([pixels, alpha], dim=1)
    deep = suffix == ".png" and like.bits == 16
    top = 65535 if deep else 255
    levels = pixels[0].permute(1, 2, 0).cpu().clamp(0, 1).mul_(top)
    levels = levels.floor_() if truncate else levels.round_()
    values = levels.numpy().astype(np.uint16 if deep else np.uint8)
    try:
        return encode_deep_png(values, like) if deep else encode(values, like, suffix)
    except DAMAGE as error:
        raise ImageError(f"{path}: cannot be written as {path.suffix} ({error}).") from error


def encode(values: np.ndarray, like: Photo, suffix: str) -> bytes:
    """[H,W,3 or 4] uint8, RGB -> the file that `suffix` names. EXIF data that it cannot hold are left out."""
    buffer = io.BytesIO()
    kind = Image.registered_extensions()[suffix]
    options: dict[str, object] = {"lossless": True} if kind == "WEBP" and like.lossless else ENCODING.get(kind, {})
    if like.exif:  # HEIF's writer takes empty data for damaged ones
        options = options | {"exif": like.exif}
    try:
        Image.fromarray(values).save(buffer, kind, icc_profile=like.icc_profile or None, **options)
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

"""Photos made to do harm, and files that are none: each is refused by an ImageError that names it, or read well."""

import os
import struct
import sys
import zlib

import numpy as np
import pytest
import torch
from conftest import ROOT
from PIL import EpsImagePlugin, Image, ImageFile

from osdface_core import ImageError, Photo, read_photo, write_photo
from osdface_core.files.formats import FORMATS
from osdface_core.files.photos import MAX_PIXELS

sys.path.append(str(ROOT / "scripts" / "soak"))

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n0 setgray\nshowpage\n%%EOF\n"
OTHERS = {
    "EPS": EPS,
    "PSD": b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 8, 8, 8, 3) + bytes(12) + bytes(2 + 3 * 64),
    "PDF": b"%PDF-1.4\n",
    "ICNS": b"icns" + struct.pack(">I", 16) + b"ic07" + struct.pack(">I", 8),
    "WMF": b"\xd7\xcd\xc6\x9a\0\0" + struct.pack("<hhhhH", 0, 0, 8, 8, 72) + bytes(6) + b"\1\0\x09\0" + bytes(20),
    "FLI": struct.pack("<IHHHHHH", 128, 0xAF11, 1, 8, 8, 8, 3) + bytes(110),
    "PPM": b"P6 8 8 255\n" + bytes(192),
    "TGA": bytes([0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 8, 0, 24, 0]) + bytes(192),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_formats_never_reach_their_decoder(tmp_path, kind, monkeypatch):
    """EPS starts Ghostscript: a photo's name does not make it one."""

    def reached(*_arguments, **_options):
        raise KeyboardInterrupt(f"{kind}'s decoder was reached")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", reached)
    for name, (_, accept) in list(Image.OPEN.items()):
        if name not in FORMATS:
            monkeypatch.setitem(Image.OPEN, name, (reached, accept))
    (tmp_path / "photo.png").write_bytes(OTHERS[kind])
    with pytest.raises(ImageError, match=r"photo\.png: this is not an image that can be read"):
        read_photo(tmp_path / "photo.png")


def frames():
    values = np.linspace(0, 255, 24 * 32, dtype=np.uint8).reshape(24, 32)
    first = Image.fromarray(np.stack([values, values[::-1], values], 2))
    return first, first.rotate(180)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "AVIF", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_is_taken(tmp_path, kind):
    Image.init()
    if kind not in Image.OPEN:
        pytest.skip(f"this Pillow has no {kind}")
    first, second = frames()
    first.save(tmp_path / "photo", kind, save_all=True, append_images=[second])
    expected = torch.from_numpy(np.array(first)).permute(2, 0, 1)[None] / 255
    assert (read_photo(tmp_path / "photo").pixels - expected).abs().mean() < 0.05


def test_pipes_devices_and_folders_are_refused_before_they_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "around.png").symlink_to("around.png")
    for name in ("pipe", "folder", "zero"):
        with pytest.raises(ImageError, match=rf"{name}\.png: this is a folder, a device or a pipe"):
            read_photo(tmp_path / f"{name}.png")
    with pytest.raises(ImageError, match=r"around\.png: the image cannot be read"):
        read_photo(tmp_path / "around.png")
    with pytest.raises(ImageError, match="cannot be read"):
        read_photo("a\0b.png")


def flat_png(width: int, height: int) -> bytes:
    """Black, 1 bit a pixel, a thousandth of its size."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))]
    packer, row = zlib.compressobj(9), bytes(1 + (width + 7) // 8)
    chunks += [(b"IDAT", b"".join(packer.compress(row) for _ in range(height)) + packer.flush()), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


def test_an_image_too_large_is_refused_by_its_header_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _image: pytest.fail("it was decoded"))
    (tmp_path / "bomb.png").write_bytes(flat_png(13000, 13000))
    assert (tmp_path / "bomb.png").stat().st_size < 50_000
    with pytest.raises(
        ImageError, match=rf"bomb\.png: 13000x13000 pixels are more than the {MAX_PIXELS // 10**6} mill"
    ):
        read_photo(tmp_path / "bomb.png")


def test_a_file_larger_than_any_photo_is_not_read(tmp_path):
    with (tmp_path / "large.png").open("wb") as file:
        file.truncate(9 * MAX_PIXELS)
    with pytest.raises(ImageError, match=r"large\.png: 1\.4 GB"):
        read_photo(tmp_path / "large.png")


def test_large_photos_are_within_the_limit():
    assert 100_000_000 < 14204 * 10652 < MAX_PIXELS < 2 * Image.MAX_IMAGE_PIXELS


def exif_block(tag: int, kind: int, count: int, value: int) -> bytes:
    head = b"Exif\0\0II*\0" + struct.pack("<I", 8)
    return head + struct.pack("<HHHII", 1, tag, kind, count, value) + bytes(4) + struct.pack("<II", 1, 0) + bytes(32)


@pytest.mark.parametrize(
    "exif",
    [
        exif_block(0x010E, 5, 1, 26),
        exif_block(0x8769, 9, 1, 0xFFFFFFF0),
        exif_block(0x8769, 4, 1, 8),
        exif_block(0x8825, 2, 4, 0x41414141),
        exif_block(0x0112, 5, 1, 26),
        exif_block(0x013B, 12, 0x7FFFFFFF, 0),
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0nonsense",
    ],
    ids=["a description of numbers", "before the start", "around", "a text", "half a turn", "too long", "far", "none"],
)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_exif_data_that_make_no_sense_do_not_cost_the_photo(tmp_path, kind, exif):
    frames()[0].save(tmp_path / "in", kind, exif=exif)
    photo = read_photo(tmp_path / "in")
    for suffix in (".png", ".jpg", ".webp", ".tif"):
        write_photo(tmp_path / f"out{suffix}", photo.pixels, photo)
        assert read_photo(tmp_path / f"out{suffix}").pixels.shape == photo.pixels.shape


def test_exif_data_that_a_format_cannot_hold_are_left_out(tmp_path, caplog):
    photo = Photo(torch.rand(1, 3, 8, 8), exif=bytes(70_000))
    for suffix in (".jpg", ".tif", ".png"):
        write_photo(tmp_path / f"out{suffix}", photo.pixels, photo)
        assert read_photo(tmp_path / f"out{suffix}").pixels.shape == photo.pixels.shape
    assert "are left out" in caplog.text


@pytest.mark.parametrize(
    "error",
    [
        *(OverflowError, struct.error, KeyError, TypeError, ZeroDivisionError, MemoryError, SyntaxError, EOFError),
        *(zlib.error, AttributeError, RecursionError, Image.DecompressionBombWarning, Exception),
    ],
)
def test_whatever_a_decoder_raises_is_an_image_error_that_names_the_file(tmp_path, monkeypatch, error):
    """Pillow's decoders raise all of these, each for some file."""

    def fail(_image):
        raise error

    frames()[0].save(tmp_path / "photo.png")
    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    with pytest.raises(ImageError, match=r"photo\.png: the image cannot be read"):
        read_photo(tmp_path / "photo.png")


def test_an_interrupt_passes(tmp_path, monkeypatch):
    def interrupt(_image):
        raise KeyboardInterrupt

    frames()[0].save(tmp_path / "photo.png")
    monkeypatch.setattr(ImageFile.ImageFile, "load", interrupt)
    with pytest.raises(KeyboardInterrupt):
        read_photo(tmp_path / "photo.png")


def test_opencv_is_needed_for_deep_pngs_alone(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    frames()[0].save(tmp_path / "photo.png")
    write_photo(tmp_path / "out.png", read_photo(tmp_path / "photo.png").pixels)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damage_of_every_kind_is_an_image_error(tmp_path):
    from fuzz_photos import fuzz

    report = fuzz(400, 0, tmp_path)
    assert report.failures == []
    assert report.read > 50
    assert report.refused > 50

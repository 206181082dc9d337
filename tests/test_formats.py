"""Formats: what is read, and in which format it is written."""

from pathlib import Path

import pytest
from conftest import ROOT
from PIL import Image, features

from osdface_core import read_photo
from osdface_core.album.journal import DONE, entries
from osdface_core.cli import main

pytestmark = pytest.mark.usefixtures("messages")

PHOTO, FACES = ROOT / "photos" / "astronaut.png", ROOT / "photos" / "astronaut.json"


def run(*arguments):
    return main([str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("name", "options", "written", "exact", "note"),
    [
        ("a.gif", {"save_all": True, "append_images": [Image.new("RGB", (512, 512))]}, "a.png", True, "an animation"),
        ("a.tif", {"save_all": True, "append_images": [Image.new("RGB", (9, 9))]}, "a.tif", True, "several pages"),
        ("a.webp", {"lossless": True}, "a.webp", True, ""),
        ("a.webp", {"quality": 80}, "a.webp", False, ""),
        ("a.avif", {}, "a.avif", False, ""),
        ("a.bmp", {}, "a.bmp", True, ""),
        ("a.jpg", {"format": "PNG"}, "a.jpg", False, "its name says JPEG, its content is PNG"),
        ("a.png", {"format": "JPEG"}, "a.png", True, "its name says PNG, its content is JPEG"),
        ("a.jpg", {"convert": "CMYK"}, "a.jpg", False, ""),
    ],
)
def test_every_format_is_written_in_one_that_holds_it(tmp_path, messages, name, options, written, exact, note):
    options = dict(options)
    photo = Image.open(PHOTO).convert(options.pop("convert", "RGB"))
    if name.endswith(".avif") and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    photo.save(tmp_path / name, **options)
    assert run("restore", tmp_path / name, "-o", tmp_path / "out", "--faces", FACES) == 0
    before = read_photo(tmp_path / name)
    after = read_photo(tmp_path / "out" / written)
    outside = (after.pixels - before.pixels)[:, :, 300:].abs().max()
    assert outside == 0 if exact else outside < 0.2
    assert Image.open(tmp_path / "out" / written).format == Image.registered_extensions()[Path(written).suffix]
    assert note in messages.text
    (entry,) = [entry for entry in entries(tmp_path / "out") if entry.state == DONE]
    assert bool(entry.notes) == bool(note)


def test_heic_needs_its_library_and_is_read_and_written_with_it(tmp_path, messages):
    head = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    (tmp_path / "a.heic").write_bytes(head + bytes(1000))
    done = run("restore", tmp_path / "a.heic", "-o", tmp_path / "out", "--faces", FACES)
    assert done == 1
    if "pip install" in messages.text:
        assert "For HEIC photos, install pillow-heif" in messages.text
        pytest.skip("no pillow-heif")
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    Image.open(PHOTO).convert("RGB").save(tmp_path / "b.heic", quality=90)
    assert run("restore", tmp_path / "b.heic", "-o", tmp_path / "out", "--faces", FACES) == 0
    before, after = read_photo(tmp_path / "b.heic").pixels, read_photo(tmp_path / "out" / "b.heic").pixels
    assert before.shape == after.shape
    assert (after - before)[:, :, 300:].abs().mean() < 0.02

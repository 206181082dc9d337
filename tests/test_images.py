"""Photos on disk keep what they have."""

import io
import zlib

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, ImageOps

from osdface_core import ImageError, Photo, read_photo, write_photo


def picture(mode="RGB", size=(23, 17)):
    """Random pixels; size is (width, height)."""
    channels = {"L": (), "RGB": (3,), "RGBA": (4,), "LA": (2,)}[mode]
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], *channels), dtype=np.uint8)
    return Image.fromarray(values, mode)


def levels(pixels, top=255):
    return (pixels[0].permute(1, 2, 0).numpy().astype(np.float64) * top).round().astype(int)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_eight_bits_come_back_the_same(tmp_path, suffix):
    image = picture()
    image.save(tmp_path / f"in{suffix}")
    photo = read_photo(tmp_path / f"in{suffix}")
    assert photo.pixels.shape == (1, 3, 17, 23)
    assert (levels(photo.pixels) == np.array(image)).all()
    write_photo(tmp_path / f"out{suffix}", photo.pixels, photo)
    assert (np.array(Image.open(tmp_path / f"out{suffix}")) == np.array(image)).all()


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_lossy_formats_are_written_well(tmp_path, suffix):
    smooth = torch.linspace(0, 1, 64).expand(1, 3, 64, 64)
    write_photo(tmp_path / f"out{suffix}", smooth)
    again = read_photo(tmp_path / f"out{suffix}").pixels
    assert (again - smooth).abs().max() < 0.03


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_the_orientation_is_honoured_once(tmp_path, orientation, suffix):
    image, exif = picture(), Image.Exif()
    exif[0x0112], exif[0x010E] = orientation, "a description"
    image.save(tmp_path / f"in{suffix}", exif=exif)
    upright = ImageOps.exif_transpose(Image.open(tmp_path / f"in{suffix}"))
    photo = read_photo(tmp_path / f"in{suffix}")
    assert (levels(photo.pixels) == np.array(upright)).all()
    write_photo(tmp_path / "out.png", photo.pixels, photo)
    written = Image.open(tmp_path / "out.png")
    assert written.getexif().get(0x0112, 1) == 1
    assert written.getexif()[0x010E] == "a description"
    assert (np.array(ImageOps.exif_transpose(written)) == np.array(upright)).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_kept(tmp_path, mode):
    image = picture(mode)
    image.save(tmp_path / "in.png")
    photo = read_photo(tmp_path / "in.png")
    assert (levels(photo.alpha)[..., 0] == np.array(image)[..., -1]).all()
    write_photo(tmp_path / "out.png", photo.pixels, photo)
    assert (np.array(Image.open(tmp_path / "out.png")) == np.array(image.convert("RGBA"))).all()


def test_transparency_is_resized_with_the_photo(tmp_path):
    photo = Photo(torch.rand(1, 3, 8, 8), alpha=torch.full((1, 1, 8, 8), 0.4))
    write_photo(tmp_path / "out.png", torch.rand(1, 3, 16, 16), photo)
    alpha = np.array(Image.open(tmp_path / "out.png"))[..., 3]
    assert (alpha == 102).all()


def test_a_tiff_can_change_its_size_and_is_turned_upright_for_good(tmp_path):
    """A TIFF's EXIF also says how its pixels are laid out, which is not true of a copy."""
    exif = Image.Exif()
    exif[0x0112], exif[0x013B] = 6, "someone"
    picture().save(tmp_path / "in.tif", exif=exif)
    photo = read_photo(tmp_path / "in.tif")
    assert photo.pixels.shape == (1, 3, 23, 17)
    write_photo(tmp_path / "out.tif", photo.pixels, photo)
    again = read_photo(tmp_path / "out.tif")
    assert torch.equal(again.pixels, photo.pixels)
    assert Image.open(tmp_path / "out.tif").getexif()[0x013B] == "someone"
    larger = photo.pixels.repeat_interleave(2, 2).repeat_interleave(2, 3)
    write_photo(tmp_path / "large.tif", larger, photo)
    assert torch.equal(read_photo(tmp_path / "large.tif").pixels, larger)


def test_a_profile_of_other_colours_is_not_kept(tmp_path):
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[16:20] = b"GRAY"
    picture("L").save(tmp_path / "grey.png", icc_profile=bytes(profile))
    assert read_photo(tmp_path / "grey.png").icc_profile == b""


@pytest.mark.parametrize("values", [np.full((9, 9), 30000, np.uint16), np.full((9, 9), 0.5, np.float32)])
def test_deep_tiffs_are_refused_not_whitened(tmp_path, values):
    Image.fromarray(values).save(tmp_path / "deep.tif")
    with pytest.raises(ImageError, match="Save it as PNG first"):
        read_photo(tmp_path / "deep.tif")


def test_what_a_format_cannot_hold_is_named(tmp_path):
    with pytest.raises(ImageError, match="cannot be written"):
        write_photo(tmp_path / "wide.webp", torch.zeros(1, 3, 2, 20000))
    assert list(tmp_path.iterdir()) == []


def test_a_palette_with_transparency_and_cmyk_are_read(tmp_path):
    picture("RGBA").quantize(16).save(tmp_path / "palette.png")
    assert read_photo(tmp_path / "palette.png").alpha is not None
    picture().convert("CMYK").save(tmp_path / "cmyk.jpg")
    assert read_photo(tmp_path / "cmyk.jpg").pixels.shape == (1, 3, 17, 23)


def test_grey_becomes_rgb(tmp_path):
    picture("L").save(tmp_path / "grey.png")
    pixels = read_photo(tmp_path / "grey.png").pixels
    assert torch.equal(pixels[:, 0], pixels[:, 2])
    assert (levels(pixels)[..., 0] == np.array(picture("L"))).all()


@pytest.mark.parametrize("channels", [0, 3, 4])
def test_sixteen_bits_come_back_the_same(tmp_path, channels):
    shape = (17, 23, channels) if channels else (17, 23)
    values = np.random.default_rng(1).integers(0, 65536, shape, dtype=np.uint16)
    cv2.imwrite(str(tmp_path / "in.png"), values)
    photo = read_photo(tmp_path / "in.png")
    assert photo.bits == 16
    rgb = np.repeat(values[..., None], 3, 2) if not channels else values[..., 2::-1]
    assert (levels(photo.pixels, 65535) == rgb).all()
    write_photo(tmp_path / "out.png", photo.pixels, photo)
    again = cv2.imread(str(tmp_path / "out.png"), cv2.IMREAD_UNCHANGED)
    assert again.dtype == np.uint16
    assert (again == (values if channels else rgb)).all()
    write_photo(tmp_path / "out.jpg", photo.pixels, photo)
    assert Image.open(tmp_path / "out.jpg").mode == "RGB"


@pytest.mark.parametrize("deep", [False, True])
def test_the_colour_profile_is_kept(tmp_path, deep):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    photo = Photo(torch.rand(1, 3, 9, 9), bits=16 if deep else 8, icc_profile=profile, exif=exif_of("someone"))
    write_photo(tmp_path / "out.png", photo.pixels, photo)
    written = Image.open(tmp_path / "out.png")
    assert written.info["icc_profile"] == profile
    assert written.getexif()[0x013B] == "someone"
    again = read_photo(tmp_path / "out.png")
    assert (again.bits, again.icc_profile) == (photo.bits, profile)


def exif_of(artist):
    exif = Image.Exif()
    exif[0x013B] = artist
    return exif.tobytes()


def test_values_are_rounded_or_cut_off(tmp_path):
    pixels = torch.full((1, 3, 2, 2), 10.7 / 255)
    write_photo(tmp_path / "rounded.png", pixels)
    write_photo(tmp_path / "cut.png", pixels, truncate=True)
    assert np.array(Image.open(tmp_path / "rounded.png")).max() == 11
    assert np.array(Image.open(tmp_path / "cut.png")).max() == 10
    write_photo(tmp_path / "beyond.png", torch.tensor([-0.5, 0.5, 1.5]).view(1, 3, 1, 1))
    assert np.array(Image.open(tmp_path / "beyond.png")).tolist() == [[[0, 128, 255]]]


def whole_png():
    buffer = io.BytesIO()
    picture().save(buffer, "PNG")
    return buffer.getvalue()


def sixteen_bit_png_with_garbage():
    header = b"\0\0\0\rIHDR" + (4).to_bytes(4, "big") * 2 + b"\x10\x02\0\0\0"
    return b"\x89PNG\r\n\x1a\n" + header + zlib.crc32(header[4:]).to_bytes(4, "big") + b"nonsense"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an image that can be read"),
        (b"hello, this is a text", "not an image that can be read"),
        (whole_png()[:200], "cannot be read"),
        (sixteen_bit_png_with_garbage(), "cannot be read"),
    ],
)
def test_a_file_that_is_no_whole_image_is_named(tmp_path, content, message):
    (tmp_path / "photo.png").write_bytes(content)
    with pytest.raises(ImageError, match=rf"photo.png: .*{message}"):
        read_photo(tmp_path / "photo.png")


def test_a_missing_file_and_an_unknown_kind_are_named(tmp_path):
    with pytest.raises(ImageError, match="no such file"):
        read_photo(tmp_path / "nothing.png")
    with pytest.raises(ImageError, match="Choose one of"):
        write_photo(tmp_path / "photo.psd", torch.rand(1, 3, 4, 4))


def test_a_write_that_fails_leaves_nothing_behind(tmp_path):
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(OSError, match="cannot be written"):
        write_photo(tmp_path / "taken.png", torch.rand(1, 3, 4, 4))
    assert [path.name for path in tmp_path.iterdir()] == ["taken.png"]

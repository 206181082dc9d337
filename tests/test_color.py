"""Colours of restored crops."""

import pytest
import torch
import torch.nn.functional as F
from conftest import face_at

from osdface_core import FaceCrops, Faces, ImageError
from osdface_core.compositing.color import LUMA, METHODS, match_color
from osdface_core.errors import OptionError

FACES = Faces((face_at(20, 20, 20), face_at(60, 20, 20, index=1)), 1, 80, 80)


def crops(images, faces=FACES):
    return FaceCrops(images, faces, torch.zeros(len(faces), 2, 3, dtype=torch.float64))


def smooth(seed, size=128):
    generator = torch.Generator().manual_seed(seed)
    return F.interpolate(torch.rand(2, 3, 4, 4, generator=generator), (size, size), mode="bicubic").clamp(0, 1)


@pytest.mark.parametrize("method", ["wavelet", "adain"])
def test_a_colour_cast_is_taken_off_and_detail_stays(method):
    source = smooth(0)
    detail = 0.05 * torch.randn(source.shape, generator=torch.Generator().manual_seed(1))
    cast = source * torch.tensor([0.8, 1.0, 1.1]).view(3, 1, 1) + 0.05
    matched = match_color(crops(cast + detail), crops(source), method).images
    assert (matched - source - detail).abs().mean() < 0.25 * (cast - source).abs().mean()
    assert torch.allclose(matched.mean((2, 3)), source.mean((2, 3)), atol=5e-3)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("tint", [(1.0, 1.0, 1.0), (1.0, 0.93, 0.82)])
def test_a_photo_of_one_tint_gets_faces_of_that_tint(method, tint):
    """Grey and brown ones, as a camera's noise and JPEG leave them; whatever colours a restorer has dreamt of."""
    tint, grain = torch.tensor(tint).view(3, 1, 1), torch.Generator().manual_seed(2)
    source = smooth(0).mean(1, keepdim=True) * tint + 0.004 * torch.randn(2, 3, 128, 128, generator=grain)
    dreamt = source + 0.1 * torch.randn(source.shape, generator=torch.Generator().manual_seed(1))
    matched = match_color(crops(dreamt), crops(source), method).images
    assert (matched / tint - (matched / tint).mean(1, keepdim=True)).abs().max() < 0.01
    bright, wanted = ((images * torch.tensor(LUMA).view(3, 1, 1)).sum(1) for images in (matched, dreamt))
    assert torch.corrcoef(torch.stack([bright.flatten(), wanted.flatten()]))[0, 1] > 0.95


@pytest.mark.parametrize("method", METHODS)
def test_a_photo_in_colour_gets_what_the_method_gives_to_the_bit(method):
    restored, source = smooth(0), smooth(1)
    assert torch.equal(match_color(crops(restored), crops(source), method).images, METHODS[method](restored, source))


def test_a_plain_photo_takes_no_detail_away():
    detail = 0.5 + 0.05 * torch.randn(2, 1, 128, 128, generator=torch.Generator().manual_seed(1)).expand(-1, 3, -1, -1)
    matched = match_color(crops(detail), crops(torch.full_like(detail, 0.5)), "wavelet").images
    assert torch.allclose(matched.std(), detail.std(), rtol=0.05)


def test_none_and_strength_0_change_nothing():
    restored, source = crops(smooth(0)), crops(smooth(1))
    assert match_color(restored, source, "none") is restored
    assert match_color(restored, source, "wavelet", 0) is restored


@pytest.mark.parametrize("method", METHODS)
def test_strength_is_a_straight_mix_and_equal_colours_stay(method):
    restored, source = crops(smooth(0)), crops(smooth(1))
    whole, half = (match_color(restored, source, method, strength).images for strength in (1, 0.5))
    assert torch.allclose(half, (restored.images + whole) / 2, atol=1e-6)
    same = match_color(restored, restored, method).images
    assert torch.allclose(same, restored.images, atol=1e-5)


@pytest.mark.parametrize(("dtype", "off"), [(torch.float32, 1e-3), (torch.float16, 5e-3)])
def test_source_crops_may_have_another_size(dtype, off):
    source = smooth(1, 64)
    matched = match_color(crops(smooth(0).to(dtype)), crops(source), "adain").images
    assert matched.dtype == dtype
    assert torch.allclose(matched.float().mean((2, 3)), source.mean((2, 3)), atol=off)


def test_other_faces_and_unknown_methods_are_named():
    other = FACES.keep(reversed(FACES.faces))
    with pytest.raises(ImageError, match="not of the same faces"):
        match_color(crops(smooth(0)), crops(smooth(0), other))
    with pytest.raises(OptionError, match="method sepia: it must be one of none, wavelet, adain"):
        match_color(crops(smooth(0)), crops(smooth(1)), "sepia")

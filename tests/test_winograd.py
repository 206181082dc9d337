"""Winograd's convolution and the GroupNorm in strips against PyTorch's own in float64."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from osdface_core.kernels import convolution, group_norm, winograd


def picture(count, channels, height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, channels, height, width, generator=generator) + torch.randn(
        1, channels, 1, 1, generator=generator
    )


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 2),
    channels=st.integers(1, 20),
    out=st.integers(1, 20),
    height=st.integers(1, 19),
    width=st.integers(1, 19),
    scale=st.sampled_from([1, 2]),
    strip=st.sampled_from([1, 5000, 4_000_000]),
    biased=st.booleans(),
)
def test_it_is_the_convolution(count, channels, out, height, width, scale, strip, biased):
    """Any size, whether it divides into tiles or not, with strips of one row of tiles or of all."""
    x, weight = picture(count, channels, height, width), torch.randn(out, channels, 3, 3)
    bias = torch.randn(out) if biased else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "STRIP_FLOATS", strip)
        patch.setattr(winograd, "STRIP_TILES", 1)
        made = winograd.conv3x3(x, weight, bias, scale=scale)
    enlarged = F.interpolate(x.double(), scale_factor=scale)
    expected = F.conv2d(enlarged, weight.double(), None if bias is None else bias.double(), padding=1)
    assert made.shape == expected.shape
    assert (made - expected).abs().max() < 2e-5 * channels**0.5 * 3


@pytest.mark.parametrize("strip", [1, 100_000])
def test_a_norm_on_the_way_is_the_norm_before(strip, monkeypatch):
    monkeypatch.setattr(winograd, "STRIP_FLOATS", strip)
    monkeypatch.setattr(winograd, "STRIP_TILES", 1)
    monkeypatch.setattr(group_norm, "STRIP_FLOATS", 1000)
    x, norm = picture(2, 64, 19, 22), nn.GroupNorm(32, 64)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    weight = torch.randn(8, 64, 3, 3) / 24
    with torch.no_grad():
        expected = F.conv2d(F.silu(norm.double()(x.double())), weight.double(), padding=1)
        own = group_norm.Norm(norm.weight.float(), norm.bias.float(), 32, norm.eps)
        assert (winograd.conv3x3(x, weight, norm=own) - expected).abs().max() < 1e-4


@given(down=st.integers(1, 200), across=st.integers(1, 200), channels=st.integers(1, 4000))
def test_no_strip_is_thin_where_the_image_is_not(down, across, channels):
    """A few tiles left over at the end took fifty times as long as all the others together."""
    strips = winograd.strips_of(down, across, channels)
    rows = [last - first for first, last in pairwise(strips)]
    assert (strips[0], strips[-1]) == (0, down)
    assert max(rows) - min(rows) <= 1
    assert min(rows) * across >= min(winograd.STRIP_TILES, down * across)


def test_a_small_image_under_many_kernels_is_convolved_the_same():
    """With its channels first, so that PyTorch leaves the kernels as they are; it comes back with its channels last."""
    x, weight, bias = picture(2, 96, 4, 4), torch.randn(96, 96, 3, 3) / 30, torch.randn(96)
    assert weight.numel() > convolution.SMALL_IMAGE * x.numel()
    made = convolution.convolve(x.contiguous(memory_format=torch.channels_last), weight, bias)
    expected = F.conv2d(x.double(), weight.double(), bias.double(), padding=1)
    assert made.is_contiguous(memory_format=torch.channels_last)
    assert (made - expected).abs().max() < 1e-4


def test_long_sums_keep_their_digits():
    """A channels-last image large enough to show what one float32 sum per channel loses."""
    x = picture(1, 32, 512, 512).contiguous(memory_format=torch.channels_last)
    norm = group_norm.Norm(torch.ones(32), torch.zeros(32), 32, 1e-5)
    with torch.no_grad():
        expected = F.group_norm(x.double(), 32)
        assert (group_norm.group_norm(x, norm) - expected).abs().max() < 3e-6
        silu = group_norm.group_norm(x, norm, silu=True)
    assert (silu - F.silu(expected)).abs().max() < 3e-6
    assert silu.is_contiguous(memory_format=torch.channels_last)


def test_a_nearly_flat_image_keeps_its_digits():
    """A scan's empty page: what varies is a ten-thousandth of the level, and the norm brings it up."""
    flat = 3 + 1e-4 * picture(1, 32, 128, 128)
    norm = group_norm.Norm(torch.ones(32), torch.zeros(32), 32, 1e-6)
    expected = F.group_norm(flat.double(), 32, eps=1e-6)
    assert (group_norm.group_norm(flat, norm) - expected).abs().max() < 1e-5

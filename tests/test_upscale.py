"""Enlarging a photo by a network, tile by tile: the same picture as in one piece, without seams."""

import pytest
import torch
from spandrel_files import write_restorer, write_upscaler

from osdface_core import ImageError, load_upscaler
from osdface_core.compositing import upscale
from osdface_core.compositing.upscale import pieces
from osdface_core.errors import NotACheckpointError
from osdface_core.pipeline import enlarged


@pytest.fixture(scope="module")
def upscaler(tmp_path_factory):
    return load_upscaler(write_upscaler(tmp_path_factory.mktemp("upscaler") / "x2.safetensors", scale=2))


@pytest.fixture
def photo():
    return torch.rand(1, 3, 150, 203, generator=torch.Generator().manual_seed(0))


def test_tiles_give_what_the_network_gives_of_the_whole(upscaler, photo, monkeypatch):
    """Its reach, four pixels, ends before those do that only inform others."""
    whole = upscaler.descriptor(photo)
    assert torch.equal(upscaler(photo), whole)
    monkeypatch.setattr(upscale, "TILE", 96)
    seen = []
    by_tiles = upscaler(torch.cat([photo, photo]), lambda *step: seen.append(step))
    assert by_tiles.shape == (2, 3, 300, 406)
    assert (by_tiles - whole).abs().max() < 1e-5
    assert seen == [(done, len(seen)) for done in range(1, len(seen) + 1)]
    assert len(seen) == 2 * 3 * 5


@pytest.mark.parametrize(("length", "tile"), [(100, 512), (512, 512), (513, 512), (1000, 512), (961, 512), (4000, 128)])
def test_what_the_pieces_count_is_one_everywhere(length, tile):
    total = torch.zeros(3 * length)
    for part, fade in pieces(length, tile, 3):
        assert 0 < part.stop - part.start <= tile
        assert fade.min() >= 0
        total[part.start * 3 : part.stop * 3] += fade
    assert (total - 1).abs().max() < 1e-6


def test_a_network_that_minds_cuts_gets_larger_pieces_or_none(upscaler, photo, monkeypatch):
    sizes = []
    hook = upscaler.descriptor.model.register_forward_pre_hook(lambda _module, given: sizes.append(given[0].shape[2:]))
    monkeypatch.setattr(upscale, "TILE", 128)
    monkeypatch.setattr(upscale, "LARGE_TILE", 180)
    tilings = type(upscaler.descriptor.tiling)
    for tiling, most in ((tilings.SUPPORTED, 128), (tilings.DISCOURAGED, 180), (tilings.INTERNAL, 203)):
        monkeypatch.setattr(upscaler.descriptor, "tiling", tiling)
        sizes.clear()
        upscaler(photo)
        assert max(max(size) for size in sizes) == most
    hook.remove()


def test_tiles_get_smaller_where_memory_runs_out(upscaler):
    photo = torch.rand(1, 3, 300, 300)
    whole, sizes = upscaler.descriptor(photo), []

    def short(_module, given):
        sizes.append(given[0].shape[-1])
        if sizes[-1] > 150:
            raise torch.OutOfMemoryError("CUDA out of memory")

    hook = upscaler.descriptor.model.register_forward_pre_hook(short)
    large = upscaler(photo)
    hook.remove()
    assert (sizes[0], sizes[1]) == (300, 150)
    assert (large - whole).abs().max() < 1e-5


def test_an_interrupt_ends_it_after_the_tile(upscaler, photo):
    def stop(done, _count):
        raise KeyboardInterrupt(done)

    with pytest.raises(KeyboardInterrupt, match="1"):
        upscaler(photo, stop)


def test_a_background_is_as_large_as_the_network_or_the_factor_says(upscaler, photo):
    assert enlarged(photo, 1, upscaler).shape[2:] == (300, 406)
    assert torch.equal(enlarged(photo, 2, upscaler), upscaler(photo))
    by_half = enlarged(photo, 1.5, upscaler)
    assert by_half.shape[2:] == (225, 304)
    ramp = torch.linspace(0.2, 0.8, 203).expand(1, 3, 150, 203).contiguous()
    assert (enlarged(ramp, 1.5, upscaler).mean() - upscaler(ramp).mean()).abs() < 1e-3


def test_what_is_no_upscaler_is_named_with_what_to_do(tmp_path, photo, upscaler):
    with pytest.raises(NotACheckpointError, match=r"this is RestoreFormer, .*Give it as --restorer"):
        load_upscaler(write_restorer(tmp_path / "restorer.pth"))
    with pytest.raises(NotACheckpointError, match=r"takes 1 channels and gives 1.*RGB"):
        load_upscaler(write_upscaler(tmp_path / "grey.safetensors", channels=1))
    assert load_upscaler(write_upscaler(tmp_path / "clean.safetensors", scale=1))(photo).shape == photo.shape
    with pytest.raises(ImageError, match="Expected an image batch"):
        upscaler(photo[:, :1])

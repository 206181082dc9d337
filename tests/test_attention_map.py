"""Where the UNet attends to each token of a prompt."""

import torch
import torch.nn.functional as F

from osdface_core import OSDFaceModel
from osdface_core.models.attention_map import attention_maps, attention_picture, colored, recorded, weights
from osdface_core.networks.operations import TORCH
from osdface_core.networks.transformer import Attention


def test_weights_are_those_that_attention_computes_with() -> None:
    """A value that is one token's alone comes out as that token's weight."""
    torch.manual_seed(0)
    layer = Attention(8, 5, 2, False, TORCH)
    x, context = torch.randn(2, 9, 8), torch.randn(2, 4, 5)
    query, key = layer.to_q(x).unflatten(2, (2, 4)), layer.to_k(context).unflatten(2, (2, 4))
    values = torch.eye(4).expand(2, 2, 4, 4)
    expected = F.scaled_dot_product_attention(query.transpose(1, 2), key.transpose(1, 2), values).mean(1)
    found = weights(layer, x, context)
    assert found.shape == (2, 4, 3, 3)
    assert torch.allclose(found.flatten(2).mT, expected, atol=1e-6)


def test_every_place_shares_out_its_attention_and_the_result_stays_the_same(tiny: OSDFaceModel) -> None:
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        embeds = tiny.vre(images).embeds
        before = tiny.one_step(images, embeds)
        maps = attention_maps(tiny.one_step, tiny.unet, images, embeds, side=16)
        after = tiny.one_step(images, embeds)
    assert maps.shape == (2, embeds.shape[1], 16, 16)
    assert torch.allclose(maps.sum(1), torch.ones(2, 16, 16), atol=1e-4)
    assert torch.equal(before, after)


def test_nothing_is_recorded_when_nobody_asks(tiny: OSDFaceModel) -> None:
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        embeds = tiny.vre(images).embeds
        with recorded(tiny.unet) as maps:
            tiny.one_step(images, embeds)
        seen = len(maps)
        tiny.one_step(images, embeds)
    assert seen == len(maps) > 0
    assert not any(module._forward_pre_hooks for module in tiny.unet.modules())


def test_a_token_that_one_corner_attends_to_shines_there() -> None:
    images, maps = torch.zeros(1, 3, 32, 32), torch.full((1, 12, 8, 8), 0.05)
    maps[0, 7, :4, :4] = 0.6
    picture = attention_picture(images, maps)
    assert picture.shape == (1, 3, 96, 96)
    assert torch.equal(picture[..., :32, :32], images)
    first = picture[0, :, :32, 32:64].mean(0)
    assert first[:8, :8].mean() > 3 * first[24:, 24:].mean()
    assert picture.min() >= 0
    assert picture.max() <= 1


def test_colours_grow_brighter() -> None:
    brightness = colored(torch.linspace(0, 1, 9)[None, None, None].expand(1, 1, 2, 9)).mean((0, 1, 2))
    assert (brightness.diff() > 0).all()

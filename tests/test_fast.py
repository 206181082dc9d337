"""A prepared model against the plain one: the same results, weights and interface."""

import copy
import logging
import shutil
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from conftest import left_behind, same_weights
from diffusers import AutoencoderKL
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.upsampling import Upsample2D
from test_one_step import crops_of
from torch import nn

from osdface_core import OSDFaceModel, encode_prompts, restore_crops
from osdface_core.fast import Precision, is_quick, networks, prepare
from osdface_core.fast.blocks import rewrite
from osdface_core.fast.prepare import compile_or_not
from osdface_core.fast.stripes import convolve_in_stripes

HALF, FULL = torch.float16, torch.float32


@pytest.fixture
def prepared(tiny):
    return prepare(copy.deepcopy(tiny))


@pytest.fixture
def images():
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def restore(model: OSDFaceModel, images: torch.Tensor, timestep: int = 399, seed: int | None = None) -> torch.Tensor:
    embeds = torch.rand(len(images), 77, 1024, generator=torch.Generator().manual_seed(2)).to(images.device)
    return replace(model.one_step, timestep=timestep)(images, embeds, seed)


@pytest.mark.parametrize("seed", [None, 3])
def test_the_image_is_the_same(tiny, prepared, images, seed):
    assert (restore(prepared, images, seed=seed) - restore(tiny, images, seed=seed)).abs().max() < 2e-5


def test_any_timestep_is_folded_and_the_first_comes_back(tiny, prepared, images):
    """The fold is not baked in: each timestep gives what the plain model gives for it."""
    outcomes = [restore(prepared, images, timestep) for timestep in (399, 100, 399)]
    assert torch.equal(outcomes[0], outcomes[2])
    assert not torch.equal(outcomes[0], outcomes[1])
    assert (outcomes[1] - restore(tiny, images, 100)).abs().max() < 5e-5


def test_weights_keep_their_names_and_values(tiny, prepared):
    assert same_weights(tiny, prepared)


def test_tokens_are_identical_and_the_table_is_the_mlp(tiny, prepared, images):
    with torch.no_grad():
        ours, plain = prepared.vre(images), tiny.vre(images)
    assert torch.equal(ours.token_ids, plain.token_ids)
    assert torch.equal(ours.positions, plain.positions)
    assert torch.allclose(ours.embeds, plain.embeds, atol=1e-6)
    few = torch.tensor([[5, -1, 1023]])
    assert torch.allclose(prepared.vre.project(few), tiny.vre.project(few), atol=1e-6)


@pytest.mark.parametrize("size", [(8, 8), (64, 64), (68, 61)])
@pytest.mark.parametrize("channels", [(32, 32), (64, 96)])
def test_blocks_are_the_same_with_and_without_winograd(size, channels):
    """A block with a shortcut and one without, and an upsampling, smaller and larger than where Winograd begins."""
    torch.manual_seed(0)
    into, out = channels
    block = ResnetBlock2D(in_channels=into, out_channels=out, temb_channels=None).eval()
    upsample = Upsample2D(into, use_conv=True, out_channels=out).eval()
    x = torch.randn(2, into, *size)
    with torch.no_grad():
        expected, enlarged = block(x, None), upsample(x)
        kept = x.clone()
        for network in (block, upsample):
            rewrite(network)
        assert (block(x) - expected).abs().max() < 1e-4
        assert (upsample(x) - enlarged).abs().max() < 1e-4
    assert torch.equal(x, kept)


@pytest.mark.parametrize(
    ("rows", "dtype", "near"),
    [(1, torch.float64, 1e-9), (7, torch.float64, 1e-9), (40, torch.float64, 1e-9), (7, torch.bfloat16, 0.06)],
)
def test_a_large_image_in_stripes_is_the_same(monkeypatch, dtype, near, rows):
    """A VAE's whole decoder with every layer in stripes, where a CPU has no way of its own: one row, some, and all."""
    torch.manual_seed(0)
    config = {"block_out_channels": [32, 64], "up_block_types": ["UpDecoderBlock2D"] * 2}
    down = {"down_block_types": ["DownEncoderBlock2D"] * 2}
    decoder = AutoencoderKL(**config, **down, layers_per_block=1).decoder.eval().requires_grad_(False)
    latents = torch.randn(2, 4, 10, 9)
    expected = decoder(latents)
    rewrite(decoder.to(dtype))
    whole = decoder(latents.to(dtype))
    monkeypatch.setattr("osdface_core.fast.blocks.LARGE", 0)
    monkeypatch.setattr("osdface_core.fast.stripes.PIXELS", rows * 2 * 9)
    striped = decoder(latents.to(dtype))
    assert (striped - whole).abs().max() < near
    assert (striped - expected).abs().max() < max(near, 1e-4)


@pytest.mark.parametrize("level", [0.1, 10.1, 1000.3])
def test_a_flat_image_in_stripes_is_no_nan(level):
    """Its variance is nothing but rounding, which may be negative."""
    norm = nn.GroupNorm(4, 32, eps=1e-6)
    made = convolve_in_stripes(
        torch.full((1, 32, 90, 70), level), torch.randn(32, 32, 3, 3), None, norm=norm, over=False
    )
    assert made.isfinite().all()


def test_an_odd_size_is_upsampled_to_what_is_asked():
    torch.manual_seed(0)
    upsample = Upsample2D(64, use_conv=True).eval()
    x = torch.randn(1, 64, 40, 40)
    with torch.no_grad():
        expected = upsample(x, (79, 80))
        rewrite(upsample)
        assert torch.allclose(upsample(x, (79, 80)), expected, atol=1e-4)


def test_a_pass_keeps_no_large_tensor_alive(prepared, images):
    """After a pass nothing the size of its activations is held: neither by the model nor by its modules."""
    restore(prepared, images)
    weights = {id(parameter) for parameter in prepared.parameters()}
    for module in prepared.modules():
        for value in vars(module).values():
            if isinstance(value, torch.Tensor) and id(value) not in weights:
                assert value.numel() <= 1025 * 1024


@pytest.mark.parametrize("text", ["fp16", "bf16", "unet=fp16", "encode=bf16,decode=fp16"])
def test_weights_stored_in_half_precision_restore_nearly_the_same_face(tiny, images, text):
    precision = Precision.parse(text)
    model = prepare(copy.deepcopy(tiny), precision)
    for part, modules in networks(model).items():
        kinds = {layer.weight.dtype for m in modules for layer in m.modules() if isinstance(layer, nn.Conv2d)}
        assert kinds == {getattr(precision, part)}
    assert next(model.vre.parameters()).dtype == FULL
    assert F.mse_loss(restore(model, images), restore(tiny, images)) < 1e-4


def test_a_cpu_without_half_precision_computes_in_float32(tiny, images, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True}, raising=False)
    model = prepare(copy.deepcopy(tiny), Precision.parse("bf16"))
    seen = []
    model.vae.decoder.conv_in.register_forward_hook(lambda _module, _inputs, out: seen.append(out.dtype))
    restore(model, images)
    assert set(seen) == {FULL}
    assert not is_quick(HALF, "cpu")


@pytest.mark.parametrize("part", ["encode", "unet", "decode"])
def test_a_part_that_overflows_goes_to_float32_and_says_so_once(tiny, images, caplog, monkeypatch, part):
    """Its first layer is made to give numbers beyond what fp16 holds."""
    plain = copy.deepcopy(tiny)
    layer = {"encode": plain.vae.encoder, "unet": plain.unet, "decode": plain.vae.decoder}[part].conv_in
    layer.weight.data *= 60000 / layer.weight.abs().max()
    expected = restore(plain, images)
    monkeypatch.setattr("osdface_core.fast.precision.is_quick", lambda dtype, device: True)
    model = prepare(copy.deepcopy(plain), Precision.parse(f"{part}=fp16"))
    with caplog.at_level(logging.WARNING):
        first, second = restore(model, images), restore(model, images)
    assert [part in record.message for record in caplog.records] == [True]
    assert getattr(model.precision, part) == FULL
    assert torch.equal(first, second)
    assert (first - expected).abs().max() < 1e-2


def test_passes_that_had_begun_before_a_part_was_mended_are_made_again(starter, caplog, monkeypatch):
    """A pass is begun before the last one is looked at: here the first two overflow, and one warning is enough."""
    crops = crops_of(3)
    plain = copy.deepcopy(starter)
    plain.unet.conv_in.weight.data *= 60000 / plain.unet.conv_in.weight.abs().max()
    prompts = encode_prompts(plain.vre, crops)
    expected = restore_crops(plain.one_step, crops, prompts, batch_size=1).images
    monkeypatch.setattr("osdface_core.fast.precision.is_quick", lambda dtype, device: True)
    model = prepare(plain, Precision.parse("unet=fp16"))
    with caplog.at_level(logging.WARNING):
        restored = restore_crops(model.one_step, crops, prompts, batch_size=1).images
    assert len(caplog.records) == 1
    assert (restored - expected).abs().max() < 1e-2


@pytest.mark.parametrize("text", ["fp8", "unet=int8", "vre=fp16", "unet", "=fp16"])
def test_what_is_no_precision_is_refused_with_what_is(text):
    with pytest.raises(ValueError, match="fp16, bf16"):
        Precision.parse(text)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_host_never_waits_within_a_pass(tiny, images, precision):
    model = prepare(copy.deepcopy(tiny).cuda(), Precision.parse(precision))
    images = images.cuda()
    with torch.no_grad():
        model.one_step.forward(images, model.vre(images).embeds)
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            model.one_step.forward(images, model.vre(images).embeds)
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_compiling_that_fails_leaves_the_network_as_it_is(tiny, images, caplog, monkeypatch):
    """A compiler that cannot: the same image, and one line per network to say so."""

    def broken(plain):
        def fail(*_inputs, **_options):
            raise torch._dynamo.exc.TorchDynamoException("no compiler here")

        return fail

    monkeypatch.setattr(torch, "compile", broken)
    model = prepare(copy.deepcopy(tiny), compiled=True)
    with caplog.at_level(logging.WARNING):
        first = restore(model, images)
        restore(model, images)
    assert len(caplog.records) == sum(len(modules) for modules in networks(model).values())
    assert (first - restore(tiny, images)).abs().max() < 2e-5


@pytest.mark.skipif(shutil.which("g++") is None, reason="no compiler")
def test_what_is_compiled_gives_the_same_and_says_how_long_it_took(caplog):
    """PyTorch's own compiler, on a block of the decoder."""
    torch.manual_seed(0)
    block = ResnetBlock2D(in_channels=32, out_channels=64, temb_channels=None).eval()
    x = torch.randn(1, 32, 16, 16)
    with torch.no_grad(), caplog.at_level(logging.INFO):
        expected = block(x, None)
        rewrite(block)
        compile_or_not(block)
        assert torch.allclose(block(x), expected, atol=1e-5)
        block(x)
    assert [record.levelname for record in caplog.records if "OSDFace" in record.message] == ["INFO", "INFO"]
    assert "ready after" in caplog.records[-1].message


def test_nothing_stays_behind_on_a_device_that_a_model_leaves(prepared, images):
    """What it has computed once, for all images, goes with its weights. The noise schedule is always in main memory."""
    prepared.vre(images)
    restore(prepared, images)
    assert left_behind(prepared) == ["alphas_cumprod"]

"""A model made ready for speed against the same one as it is read: same results, weights and interface."""

import logging
import shutil
import threading
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from conftest import left_behind, same_weights, twin_of
from test_one_step import crops_of
from torch import nn

from osdface_core import OSDFaceModel, encode_prompts, prepare, restore_crops
from osdface_core.inference import networks
from osdface_core.inference.compile import compile_or_not
from osdface_core.models.precision import Precision, is_quick
from osdface_core.networks.blocks import ResnetBlock
from osdface_core.networks.operations import TORCH

HALF, FULL = torch.float16, torch.float32


def ready(model: OSDFaceModel, *arguments, **options) -> OSDFaceModel:
    """A copy of the model, prepared; the original stays as it is."""
    return prepare(twin_of(model), *arguments, **options)


@pytest.fixture(scope="module")
def prepared(tiny):
    return ready(tiny)


@pytest.fixture
def images():
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def restore(model: OSDFaceModel, images: torch.Tensor, timestep: int = 399, seed: int | None = None) -> torch.Tensor:
    embeds = torch.rand(len(images), 77, 1024, generator=torch.Generator().manual_seed(2)).to(images.device)
    return replace(model.one_step, timestep=timestep)(images, embeds, seed)


@pytest.fixture
def everything_quick(monkeypatch):
    """As if this device computed in every precision."""
    monkeypatch.setattr("osdface_core.models.precision.is_quick", lambda dtype, device: True)


@pytest.mark.parametrize("seed", [None, 3])
def test_the_image_is_the_same(tiny, prepared, images, seed):
    assert (restore(prepared, images, seed=seed) - restore(tiny, images, seed=seed)).abs().max() < 2e-5


def test_one_restorer_takes_any_timestep(tiny, images):
    """What a timestep adds is computed once for all batches, and again for another one."""
    step, embeds = tiny.one_step, torch.rand(2, 77, 1024, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        latents = step.encode(2 * images - 1, None)
        outcomes = [step.predict_noise(latents, timestep, embeds) for timestep in (399, 100, 399)]
        fresh = tiny.one_step.predict_noise(latents, 100, embeds)
    assert torch.equal(outcomes[0], outcomes[2])
    assert not torch.equal(outcomes[0], outcomes[1])
    assert torch.equal(outcomes[1], fresh)


def test_weights_keep_their_names_and_values(tiny, prepared):
    assert same_weights(tiny, prepared)


def test_tokens_are_identical_and_the_table_is_the_mlp(tiny, prepared, images):
    with torch.no_grad():
        ours, plain = prepared.vre(images), tiny.vre(images)
        assert tiny.vre.table is None
        assert prepared.vre.table is not None
        assert torch.equal(ours.token_ids, plain.token_ids)
        assert torch.equal(ours.positions, plain.positions)
        assert torch.allclose(ours.embeds, plain.embeds, atol=1e-6)
        few = torch.tensor([[5, -1, 1023]])
        assert torch.allclose(prepared.vre.project(few), tiny.vre.project(few), atol=1e-6)


def test_a_pass_changes_nothing_in_the_model(prepared, images):
    """So that several threads may use it, and nothing the size of its activations is held."""

    def content():
        modules = prepared.named_modules()
        return {f"{name}.{key}": id(value) for name, module in modules for key, value in vars(module).items()}

    before = content()
    prepared.vre(images)
    restore(prepared, images)
    assert content() == before


def test_every_part_computes_in_ieee_float32_and_the_embedder_in_tf32_beside_half_precision(
    tiny, images, monkeypatch, everything_quick
):
    """cuDNN would take TF32 for convolutions by itself."""
    asked = []

    def arithmetic(device, *, tf32):
        asked.append(tf32)
        return nullcontext()

    for module in ("diffusion", "vre"):
        monkeypatch.setattr(f"osdface_core.models.{module}.arithmetic", arithmetic)
    with torch.no_grad():
        for precision, embedder in (("fp32", False), ("bf16", True)):
            model = ready(tiny, Precision.parse(precision))
            asked.clear()
            model.one_step(images, model.vre(images).embeds)
            assert asked == [embedder, False, False, False]


def test_four_threads_restore_what_one_does(starter):
    crops = [crops_of(2, 64 * (n + 1)) for n in range(4)]

    def work(n):
        return restore_crops(starter.one_step, crops[n], encode_prompts(starter.vre, crops[n])).images

    expected, made = [work(n) for n in range(4)], {}
    threads = [threading.Thread(target=lambda n=n: made.update({n: work(n)})) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(made[n], expected[n]) for n in range(4))


@pytest.mark.parametrize("text", ["fp16", "bf16", "unet=fp16", "encode=bf16,decode=fp16"])
def test_weights_stored_in_half_precision_restore_nearly_the_same_face(tiny, images, text):
    precision = Precision.parse(text)
    model = ready(tiny, precision)
    for part, modules in networks(model).items():
        kinds = {layer.weight.dtype for m in modules for layer in m.modules() if isinstance(layer, nn.Conv2d)}
        assert kinds == {getattr(precision, part)}
    assert next(model.vre.parameters()).dtype == FULL
    assert F.mse_loss(restore(model, images), restore(tiny, images)) < 1e-4


def test_a_cpu_without_half_precision_computes_in_float32(tiny, images, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True}, raising=False)
    model = ready(tiny, Precision.parse("bf16"))
    seen = []
    model.vae.decoder.register_forward_hook(lambda _module, _inputs, out: seen.append(out.dtype))
    restore(model, images)
    assert set(seen) == {FULL}
    assert not is_quick(HALF, "cpu")


def overflowing(model: OSDFaceModel, part: str) -> OSDFaceModel:
    """A copy whose first layer of that part gives numbers beyond what fp16 holds."""
    twin = twin_of(model)
    layer = {"encode": twin.vae.encoder, "unet": twin.unet, "decode": twin.vae.decoder}[part].conv_in
    layer.weight.data *= 60000 / layer.weight.abs().max()
    return twin


@pytest.mark.parametrize("part", ["encode", "unet", "decode"])
def test_a_part_that_overflows_goes_to_float32_and_says_so_once(tiny, images, caplog, everything_quick, part):
    plain = overflowing(tiny, part)
    expected = restore(plain, images)
    model = ready(plain, Precision.parse(f"{part}=fp16"))
    with caplog.at_level(logging.WARNING):
        first, second = restore(model, images), restore(model, images)
    assert [part in record.message for record in caplog.records] == [True]
    assert getattr(model.precision, part) == FULL
    assert torch.equal(first, second)
    assert (first - expected).abs().max() < 1e-2


def test_passes_that_had_begun_before_a_part_was_upcast_are_made_again(starter, caplog, everything_quick):
    """A pass is begun before the last one is looked at: here the first two overflow, and one warning is enough."""
    crops = crops_of(3)
    plain = overflowing(starter, "unet")
    prompts = encode_prompts(plain.vre, crops)
    expected = restore_crops(plain.one_step, crops, prompts, batch_size=1).images
    model = ready(plain, Precision.parse("unet=fp16"))
    with caplog.at_level(logging.WARNING):
        restored = restore_crops(model.one_step, crops, prompts, batch_size=1).images
    assert len(caplog.records) == 1
    assert (restored - expected).abs().max() < 1e-2


def test_a_pass_that_overflows_and_then_runs_out_of_memory_is_halved(starter, everything_quick):
    """In float32 a batch takes twice the memory: the repair must find its way back to the loop that halves."""
    crops = crops_of(4)
    plain = overflowing(starter, "unet")
    prompts = encode_prompts(plain.vre, crops)
    expected = restore_crops(plain.one_step, crops, prompts, batch_size=1).images
    model, sizes = ready(plain, Precision.parse("unet=fp16")), []

    def full(_module, inputs):
        sizes.append(len(inputs[0]))
        if inputs[0].dtype == FULL and len(inputs[0]) > 2:
            raise torch.OutOfMemoryError

    model.unet.register_forward_pre_hook(full)
    restored = restore_crops(model.one_step, crops, prompts, batch_size=4).images
    assert sizes == [4, 4, 2, 2]
    assert (restored - expected).abs().max() < 1e-2


@pytest.mark.parametrize("text", ["fp8", "unet=int8", "vre=fp16", "unet", "=fp16"])
def test_what_is_no_precision_is_refused_with_what_is(text):
    with pytest.raises(ValueError, match="fp16, bf16"):
        Precision.parse(text)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_host_never_waits_within_a_pass(tiny, images, precision):
    model = ready(tiny, Precision.parse(precision), device="cuda").cuda()
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
    model = ready(tiny, compiled=True)
    with caplog.at_level(logging.WARNING):
        first = restore(model, images)
        restore(model, images)
    assert len(caplog.records) == 3
    assert (first - restore(tiny, images)).abs().max() < 2e-5


def test_where_nothing_can_be_compiled_a_model_loads_all_the_same(tiny, images, caplog, monkeypatch):
    """As on a Python that PyTorch's compiler does not know."""

    def unknown(_plain):
        raise RuntimeError("torch.compile is not supported on this Python")

    monkeypatch.setattr(torch, "compile", unknown)
    with caplog.at_level(logging.WARNING):
        model = ready(tiny, compiled=True)
    assert len(caplog.records) == 3
    assert (restore(model, images) - restore(tiny, images)).abs().max() < 2e-5


def test_running_out_of_memory_is_no_fault_of_the_compiler(monkeypatch):
    """It has to reach the loop that halves batches, and leaves the compiled network as it is."""

    def full(*_inputs):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(torch, "compile", lambda plain: full)
    network = nn.Identity()
    compile_or_not(network)
    for _ in range(2):
        with pytest.raises(torch.OutOfMemoryError):
            network(torch.zeros(1))


@pytest.mark.skipif(shutil.which("g++") is None, reason="no compiler")
def test_what_is_compiled_gives_the_same_and_says_how_long_it_took(caplog):
    """PyTorch's own compiler, on a block of the decoder."""
    torch.manual_seed(0)
    block = ResnetBlock(32, 64, 32, 1e-6, TORCH).eval()
    x = torch.randn(1, 32, 16, 16)
    with torch.no_grad(), caplog.at_level(logging.INFO):
        expected = block(x)
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

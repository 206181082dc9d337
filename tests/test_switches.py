"""What ComfyUI was started with, honoured; among a real ComfyUI's modules where COMFYUI_PATH names a checkout."""

import os
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from host import fakes
from host.modules import among_comfyui


@pytest.fixture
def comfyui(tmp_path):
    if "COMFYUI_PATH" not in os.environ:
        pytest.skip("no ComfyUI: set COMFYUI_PATH to a checkout (and COMFYUI_PYTHON to its Python)")
    return partial(among_comfyui, Path(os.environ["COMFYUI_PATH"]), tmp_path)


def test_every_precision_that_comfyui_may_be_started_with(comfyui):
    """What a node's widget says comes first. What a UNet cannot be stored in is no reason to fail."""
    told = comfyui(
        run="""
def chosen(*widgets, **switches):
    vars(comfy.cli_args.args).update(switches)
    precision = runtime.choose_precision(*widgets)
    vars(comfy.cli_args.args).update(dict.fromkeys(switches, False))
    return [str(getattr(precision, part)).removeprefix("torch.") for part in ("encode", "unet", "decode")]

auto, same = "auto", "same as precision"
tell({
    "none": chosen(auto, same, same),
    "--fp16-vae": chosen(auto, same, same, fp16_vae=True),
    "--bf16-vae, one part by its widget": chosen(auto, "fp32", same, bf16_vae=True),
    "--bf16-vae, all by the widget": chosen("fp32", same, same, bf16_vae=True),
    "--fp32-vae --fp16-unet": chosen(auto, same, same, fp32_vae=True, fp16_unet=True),
    "--bf16-unet": chosen(auto, same, same, bf16_unet=True),
    "--fp64-unet": chosen(auto, same, same, fp64_unet=True),
    "--fp8_e4m3fn-unet": chosen(auto, same, same, fp8_e4m3fn_unet=True),
})
"""
    )
    one, half, brain = "float32", "float16", "bfloat16"
    assert told == {
        "none": [one, one, one],
        "--fp16-vae": [half, one, half],
        "--bf16-vae, one part by its widget": [one, one, brain],
        "--bf16-vae, all by the widget": [one, one, one],
        "--fp32-vae --fp16-unet": [one, half, one],
        "--bf16-unet": [one, brain, one],
        "--fp64-unet": [one, one, one],
        "--fp8_e4m3fn-unet": [one, one, one],
    }


def test_weights_in_the_precision_and_layout_asked_for(comfyui):
    run = """
weights = load()
kernel = weights.model.vae.decoder.conv_in.weight
tell({
    "unet": str(weights.model.unet.conv_in.weight.dtype),
    "vae": str(kernel.dtype),
    "channels last": kernel.is_contiguous(memory_format=torch.channels_last),
    "restored": restore(weights).flatten()[::97].tolist(),
})
"""
    plain, asked = comfyui(run=run), comfyui("--fp16-vae", "--bf16-unet", "--force-channels-last", run=run)
    assert (plain["unet"], plain["vae"], plain["channels last"]) == ("torch.float32", "torch.float32", False)
    assert (asked["unet"], asked["vae"], asked["channels last"]) == ("torch.bfloat16", "torch.float16", True)
    assert asked["restored"] == pytest.approx(plain["restored"], abs=0.05)


def test_weights_that_stay_in_main_memory(comfyui):
    """As under --novram, or --lowvram with little of it: layers copy their weights when they compute, what is no such
    layer is on the card. Same result."""
    told = comfyui(
        run="""
weights = load()
whole = restore(weights)
management.unload_all_models()
management.vram_state = management.VRAMState.NO_VRAM
management.is_device_cpu = lambda device: False  # a CPU is taken for a card
same = torch.equal(restore(weights), whole)
left = [resident.patcher.loaded_size() / resident.patcher.model_size() for resident in (weights.unet, weights.vae)]
management.unload_all_models()
management.vram_state = management.VRAMState.LOW_VRAM
room = management.minimum_inference_memory() + weights.unet.patcher.model_size() / 2

def free(device=None, torch_free_too=False):
    left = room - weights.unet.patcher.loaded_size()
    return (left, left) if torch_free_too else left

management.get_free_memory = free
same = same and torch.equal(restore(weights), whole)
partly = weights.unet.patcher.loaded_size() / weights.unet.patcher.model_size()

management.vram_state = management.VRAMState.NO_VRAM
card = torch.device("meta")  # a card that holds weights, and cannot compute
management.get_torch_device = management.vae_device = lambda: card
management.get_free_memory = lambda device=None, torch_free_too=False: (1e12, 1e12) if torch_free_too else 1e12
there = runtime.OSDFaceWeights(load("fp32").model, card)
runtime.load([there.unet, there.vae], 0)
detector = runtime.Resident(torch.nn.Sequential(torch.nn.Conv2d(3, 3, 3), torch.nn.BatchNorm2d(3)))
detector.use()

def where(networks):
    layers = {}
    for name, module in networks.named_modules():
        for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
            kind = "casts" if isinstance(module, comfy.ops.CastWeightBiasOp) else "does not cast"
            layers.setdefault(kind, set()).add(tensor.device.type)
    return {kind: sorted(devices) for kind, devices in layers.items()}

placed = {"model": where(there.model), "detector": where(detector.patcher.model)}
tell({"same": same, "novram": left, "lowvram": partly, **placed})
"""
    )
    assert told["same"]
    assert told["novram"] == [0, 0]
    assert 0.1 < told["lowvram"] < 0.6
    assert told["model"] == {"casts": ["cpu"], "does not cast": ["meta"]}
    assert told["detector"] == {"does not cast": ["meta"]}


def test_dynamic_vram_takes_the_patcher_that_core_models_have(comfyui):
    """Its loader leaves weights out when a model is built; ours are there to be checked against the file."""
    told = comfyui(
        run="""
import comfy.memory_management, comfy.model_patcher

class Dynamic(comfy.model_patcher.ModelPatcher):
    pass

comfy.model_patcher.CoreModelPatcher = Dynamic
comfy.memory_management.aimdo_enabled = True
weights = load()
tell([type(weights.unet.patcher).__name__, sum(p.numel() for p in weights.model.unet.parameters()) > 1e6])
"""
    )
    assert told == ["Dynamic", True]


def test_layers_cast_to_what_they_are_given(comfyui):
    """Stored in half precision they compute in the input's: so an overflow brings a part to float32."""
    told = comfyui(
        run="""
plain, ours = runtime.read_model().vae, runtime.read_model(ops=operations.COMFYUI).vae
latents = torch.ones(1, plain.config.latent_channels, 8, 8)
same = torch.equal(plain.decode(latents), ours.decode(latents))
ours.half()
single, double = ours.decode(latents), ours.decode(latents.half())
q, k = torch.rand(1, 64, 40), torch.rand(1, 7, 40)
attended = operations.attention(q, k, k, 2)
halves = operations.attention(q.half(), k.half(), k.half(), 2)
tell({
    "same": same, "dtypes": [str(single.dtype), str(double.dtype)],
    "attention": [str(halves.dtype), float((halves.float() - attended).abs().max())],
})
"""
    )
    assert told["same"]
    assert told["dtypes"] == ["torch.float32", "torch.float16"]
    assert told["attention"] == ["torch.float16", pytest.approx(0, abs=2e-3)]


def test_what_comfyui_calls_out_of_memory_halves_a_batch(comfyui):
    told = comfyui(
        run="""
from pack.nodes.restore import restore_crops
from pack.osdface_core import Face, FaceCrops, Faces
weights = load()
passes = []

def runs_out(unet, inputs):
    passes.append(len(inputs[0]))
    if len(inputs[0]) > 1:
        raise management.OOM_EXCEPTION("Allocation on device")

weights.model.unet.register_forward_pre_hook(runs_out)
faces = [Face(0, n, (0, 0, 64, 64), 1.0, ((0, 0),) * 5) for n in range(2)]
crops = FaceCrops(face.repeat(2, 1, 1, 1), Faces(tuple(faces), 1, 64, 64), torch.eye(2, 3).repeat(2, 1, 1))
restored = restore_crops(weights.one_step(2), crops, weights.vre(2)(crops.images), batch_size=2)
tell([passes, len(restored)])
"""
    )
    assert told == [[2, 1, 1], 2]


def test_an_interrupt_ends_a_pass_where_it_is(comfyui):
    told = comfyui(
        run="""
weights = load()
step, embeds = weights.one_step(1), weights.vre(1)(face).embeds
seen = []
weights.model.unet.mid_block.register_forward_hook(lambda *_: seen.append("interrupt"))
weights.model.unet.mid_block.register_forward_hook(lambda *_: management.interrupt_current_processing(True))
weights.model.unet.up_blocks[-1].register_forward_hook(lambda *_: seen.append("end"))
try:
    step(face, embeds)
except management.InterruptProcessingException:
    seen.append("raised")
tell(seen)
"""
    )
    assert told == ["interrupt", "raised"]


@torch.inference_mode()
def test_the_vae_computes_on_the_cpu_while_the_rest_is_on_the_card(inside, monkeypatch):
    """--cpu-vae. A card that holds weights and cannot compute stands in for one."""
    runtime = sys.modules["pack.nodes.runtime"]
    management = sys.modules["comfy.model_management"]
    monkeypatch.setattr(management, "get_torch_device", lambda: torch.device("meta"))
    half = lambda _device, *_, **__: torch.float16  # noqa: E731
    monkeypatch.setattr(management, "unet_dtype", half)
    monkeypatch.setattr(management, "vae_dtype", half)
    weights = runtime.shared_weights("starter (built in)", "none", "auto")
    fakes.State.loaded.clear()
    step = weights.one_step(1)
    assert [patcher.load_device.type for patcher in fakes.State.loaded] == ["meta", "cpu"]
    assert weights.model.device.type == "meta"
    latents = step.encode(torch.zeros(1, 3, 64, 64), None)
    assert latents.device.type == "cpu"
    assert latents.dtype == torch.float32, "a CPU is slow in half precision"
    assert step.decode(latents).device.type == "cpu"

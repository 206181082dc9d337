"""Bundles, and the models that come from them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import same_weights
from parity.single_file import TINY
from safetensors.torch import save_file

from osdface_core import ModelConfig, OSDFaceModel, VREConfig, load_model
from osdface_core.errors import NotACheckpointError
from osdface_core.weights import convert, load_bundle, save_bundle
from osdface_core.weights.files import read_tensors, sha256


def test_a_bundle_holds_the_same_model(files, tiny):
    convert(files / "ckpt", files / "sd21base", files / "bundle.safetensors")
    model = load_bundle(files / "bundle.safetensors")
    assert same_weights(model, tiny)
    assert model.config == tiny.config


def test_a_bundle_says_what_it_was_made_from(files):
    convert(files / "ckpt", files / "sd21base", files / "bundle.safetensors")
    metadata = read_tensors(files / "bundle.safetensors")[1]
    sources = {entry["name"]: entry for entry in json.loads(metadata["sources"])}
    assert sources["associate_2.ckpt"]["sha256"] == sha256(files / "ckpt/associate_2.ckpt")
    assert {"embedding_change_weights.pth", "pytorch_lora_weights.safetensors"} < sources.keys()
    assert len(json.loads(metadata["sources"])) == 5
    assert "Open RAIL" in metadata["licences"]


@pytest.mark.parametrize(("dtype", "gap"), [(torch.float16, 1e-3), (torch.bfloat16, 8e-3)])
def test_a_bundle_may_store_less_precision_but_the_vre_keeps_its_own(files, tiny, dtype, gap):
    convert(files / "ckpt", files / "sd21base", files / "bundle.safetensors", dtype=dtype)
    stored = load_bundle(files / "bundle.safetensors")
    assert {stored.unet.dtype, stored.vae.dtype} == {dtype}
    assert torch.equal(stored.vre.encoder.quant_conv.weight, tiny.vre.encoder.quant_conv.weight)
    model = load_model(files / "bundle.safetensors")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    weight, exact = model.unet.conv_in.weight, tiny.unet.conv_in.weight
    assert 0 < (weight - exact).abs().max() < gap * exact.abs().max()


def test_an_interrupted_save_leaves_no_bundle(tiny, tmp_path, monkeypatch):
    def fail(_source, _target):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        save_bundle(tiny, tmp_path / "bundle.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_notice_travels_with_the_bundle(starter, tmp_path):
    save_bundle(starter, tmp_path / "starter.safetensors", licences="MIT")
    assert "starter weights" in load_bundle(tmp_path / "starter.safetensors").notice


def test_the_starter_is_the_same_every_time_and_leaves_the_random_state_alone(starter):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    assert same_weights(load_model(), starter)
    assert torch.equal(torch.rand(1), expected)


def test_other_files_are_no_bundle(files):
    with pytest.raises(NotACheckpointError, match="osdface weights convert"):
        load_model(files / "ckpt/pytorch_lora_weights.safetensors")
    with pytest.raises(NotACheckpointError, match="osdface weights convert"):
        load_model(files / "ckpt/associate_2.ckpt")


def test_a_bundle_of_a_newer_version_says_so(files):
    convert(files / "ckpt", files / "sd21base", files / "bundle.safetensors")
    tensors, metadata = read_tensors(files / "bundle.safetensors")
    config = json.loads(metadata["config"]) | {"wings": 2}
    save_file(tensors, files / "newer.safetensors", metadata | {"config": json.dumps(config)})
    with pytest.raises(NotACheckpointError, match=r"wings.*newer version"):
        load_bundle(files / "newer.safetensors")


def test_every_size_comes_from_the_config():
    config = ModelConfig(
        vre=VREConfig(base_channels=32, channel_multipliers=(1, 1, 2), tokens=5), unet=TINY.unet, vae=TINY.vae
    )
    with torch.device("meta"):
        model = OSDFaceModel(config)
        full = OSDFaceModel(ModelConfig())
    assert len(model.vre.encoder.encoder.down_blocks) == 3
    count = {name: sum(p.numel() for p in getattr(full, name).parameters()) for name in ("vre", "unet", "vae")}
    assert count["unet"] == 865_910_724
    assert count["vae"] == 83_653_863
    # the checkpoint also holds the second norm of three attentions, which the encoder never uses
    assert count["vre"] == 29_172_416 + 394_496 - 3 * 2 * 512


def test_weights_are_read_lazily_not_copied(tiny_weights, tmp_path):
    """Loading a bundle maps its file: hardly any memory of the process's own, and less time than reading."""
    if not Path("/proc/self/status").exists():
        pytest.skip("needs /proc to see the process's memory")
    bundle = tmp_path / "bundle.safetensors"
    convert(tiny_weights / "ckpt", tiny_weights / "sd21base", bundle)
    script = f"""
import re, torch
from diffusers import UNet2DConditionModel, AutoencoderKL
from osdface_core import load_model
def own(): return int(re.search(r"RssAnon:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
load_model()
before = own()
model = load_model({str(bundle)!r})
print(own() - before)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 0.25 * bundle.stat().st_size

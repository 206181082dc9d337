"""Configurations from files: every field checked before anything is built from it."""

import json
import socket

import pytest
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file

from osdface_core import ModelConfig, load_model
from osdface_core.errors import NotACheckpointError
from osdface_core.networks.config import UNetConfig, VAEConfig
from osdface_core.weights import load_bundle
from osdface_core.weights.files import read_tensors
from osdface_core.weights.starter import BUNDLE as STARTER

BAD = {
    "a path for a UNet": {"unet": "stabilityai/stable-diffusion-2-1"},
    "a list for a VAE": {"vae": [1, 2]},
    "nothing for a VRE": {"vre": None},
    "a wrong key": {"wings": 2},
    "endless layers": {"unet.layers_per_block": 10**6},
    "endless VAE layers": {"vae.layers_per_block": 10**6},
    "endless VRE layers": {"vre.layers_per_block": 10**6},
    "negative layers": {"unet.layers_per_block": -1},
    "half a layer": {"unet.layers_per_block": 1.5},
    "a flag for a number": {"unet.layers_per_block": True},
    "no widths": {"unet.block_out_channels": []},
    "huge widths": {"unet.block_out_channels": [10**9, 10**9, 10**9]},
    "text for a width": {"unet.block_out_channels": ["64", "96", "160"]},
    "widths for other levels": {"unet.block_out_channels": [64, 96]},
    "nested widths": {"unet.block_out_channels": [[64], 96, 160]},
    "groups that do not divide": {"unet.norm_num_groups": 7},
    "no groups": {"vae.norm_num_groups": 0},
    "another block": {"unet.down_block_types": ["AttnDownBlock2D"] * 3},
    "code for a block": {"vae.down_block_types": ["os.system"] * 4},
    "heads that do not divide": {"unet.attention_head_dim": [3, 3, 5]},
    "another context": {"unet.cross_attention_dim": 512},
    "another latent": {"unet.in_channels": 4},
    "an activation we have not": {"unet.act_fn": "gelu"},
    "an addition we have not": {"unet.addition_embed_type": "text"},
    "a scale of NaN": {"vae.scaling_factor": float("nan")},
    "an endless scale": {"vae.scaling_factor": float("inf")},
    "no scale": {"vae.scaling_factor": 0},
    "a crop of no multiple": {"crop_size": 257},
    "a crop too large": {"crop_size": 1 << 20},
    "a negative timestep": {"timestep": -5},
    "a timestep too late": {"timestep": 1500},
    "betas the wrong way round": {"beta_start": 0.5, "beta_end": 0.1},
    "another schedule": {"beta_schedule": "cosine"},
    "endless codes": {"vre.codes": 10**12},
    "endless multipliers": {"vre.channel_multipliers": [1] * 100},
    "another prompt": {"vre.prompt_kind": "shouted"},
    "a size that cannot be halved": {"vre.input_size": 129},
}


@pytest.fixture(scope="module")
def starter_file():
    return read_tensors(STARTER)


@pytest.mark.parametrize("change", BAD.values(), ids=BAD)
def test_a_bundle_with_a_bad_configuration_is_refused_at_once(starter_file, tmp_path, monkeypatch, change):
    """By a named error, before anything is built, and without a word to the network."""
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("it called out"))
    tensors, metadata = starter_file
    config = json.loads(metadata["config"])
    for name, value in change.items():
        part, _, key = name.rpartition(".")
        (config[part] if part else config)[key] = value
    save_file(
        {"a": next(iter(tensors.values()))}, tmp_path / "bad.safetensors", metadata | {"config": json.dumps(config)}
    )
    with pytest.raises(NotACheckpointError, match="configuration cannot be read"):
        load_bundle(tmp_path / "bad.safetensors")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', "[" * 100_000, '{"vre": {}}'])
def test_a_configuration_that_is_none_is_refused(starter_file, tmp_path, text):
    tensors, metadata = starter_file
    save_file({"a": next(iter(tensors.values()))}, tmp_path / "bad.safetensors", metadata | {"config": text})
    with pytest.raises(NotACheckpointError, match="configuration cannot be read"):
        load_bundle(tmp_path / "bad.safetensors")


def test_building_touches_no_network(monkeypatch):
    monkeypatch.setattr(socket, "socket", lambda *_, **__: pytest.fail("it made a socket"))
    assert load_model().config.crop_size == 256


def test_what_is_written_is_read_again():
    config = ModelConfig()
    assert ModelConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_what_diffusers_writes_is_read():
    """Its defaults, fields that have no part here, and those of a newer version that are switched off."""
    theirs = dict(UNet2DConditionModel().config)
    assert UNetConfig.from_json(theirs) == UNetConfig(sample_size=None)
    assert VAEConfig.from_json(dict(AutoencoderKL().config)) == VAEConfig()
    assert UNetConfig.from_json({"_class_name": "UNet2DConditionModel", "new": None, "newer": False}) == UNetConfig()
    with pytest.raises(ValueError, match="freq_shift"):
        UNetConfig.from_json({"freq_shift": 1})

"""Single-file checkpoints: our names of their tensors, beside diffusers'."""

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
from parity import recipe
from parity.single_file import unet_as_single_file, vae_as_single_file

from osdface_core.networks.config import UNetConfig, VAEConfig
from osdface_core.weights.ldm import unet_of, vae_of

SIZES = {
    "as SD 2.1": {},
    "one layer, three blocks": {"layers_per_block": 1, "blocks": 3},
    "three layers, five blocks": {"layers_per_block": 3, "blocks": 5},
    "convolutions around the attention": {"use_linear_projection": False},
}


def unet_config(layers_per_block=2, blocks=4, **changes):
    return {
        **recipe.unet_config("tiny"),
        "down_block_types": ["CrossAttnDownBlock2D"] * (blocks - 1) + ["DownBlock2D"],
        "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * (blocks - 1),
        "block_out_channels": [32, 64, 64, 96, 96][:blocks],
        "attention_head_dim": 2,
        "layers_per_block": layers_per_block,
        **changes,
    }


def vae_config(blocks, layers_per_block):
    return {
        **recipe.vae_config("tiny"),
        "down_block_types": ["DownEncoderBlock2D"] * blocks,
        "up_block_types": ["UpDecoderBlock2D"] * blocks,
        "block_out_channels": [32, 32, 64, 64, 96][:blocks],
        "layers_per_block": layers_per_block,
    }


def assert_same(ours, theirs, original):
    assert ours.keys() == theirs.keys() == original.keys()
    for key, tensor in original.items():
        assert torch.equal(ours[key], theirs[key]), key
        assert torch.equal(ours[key], tensor), key


@pytest.mark.parametrize("size", SIZES)
def test_a_unet_gets_diffusers_names(size):
    config = unet_config(**SIZES[size])
    original = UNet2DConditionModel(**config).state_dict()
    single = unet_as_single_file(original, config["layers_per_block"])
    assert_same(
        unet_of(single, UNetConfig.from_json(config)), convert_ldm_unet_checkpoint(dict(single), config), original
    )
    if config["layers_per_block"] == 2:
        del config["layers_per_block"]
        assert unet_of(single, UNetConfig.from_json(config)).keys() == original.keys()


@pytest.mark.parametrize(("blocks", "layers"), [(4, 2), (3, 1), (5, 3)])
def test_a_vae_gets_diffusers_names(blocks, layers):
    config = vae_config(blocks, layers)
    original = AutoencoderKL(**config).state_dict()
    single = vae_as_single_file(original)
    assert single["first_stage_model.encoder.mid.attn_1.q.weight"].ndim == 4
    assert_same(vae_of(single, VAEConfig.from_json(config)), convert_ldm_vae_checkpoint(dict(single), config), original)


def test_what_it_does_not_know_keeps_its_name():
    zero = torch.zeros(1)
    unet = {"model.diffusion_model.label_emb.weight": zero, "model_ema.decay": zero}
    unet["model.diffusion_model.input_blocks." + "9" * 5000 + ".0.op.bias"] = zero
    kept = set(unet_of(unet, UNetConfig()))
    assert kept == {"label_emb.weight", "input_blocks." + "9" * 5000 + ".0.op.bias"}
    assert set(vae_of({"first_stage_model.loss.up.99.block": zero}, VAEConfig.from_json(vae_config(4, 2)))) == {
        "loss.up.99.block"
    }

"""The authors' files over SD 2.1-base, as a folder and as a single file."""

import os
import sys

import pytest
import torch
from conftest import change, load, same_weights
from parity.single_file import TINY, as_single_file
from safetensors.torch import load_file, save_file

from osdface_core import load_model
from osdface_core.weights import load_authors_files
from osdface_core.weights.authors import LORA_FILE, PROMPT_FILE, VRE_FILE, load_authors_vre, write_authors_files
from osdface_core.weights.files import read_tensors
from osdface_core.weights.lora import merge_lora


def test_sizes_are_read_off_the_files(tiny):
    assert tiny.config.vre.base_channels == 32
    assert tiny.config.unet.block_out_channels == (32, 64, 64, 64)
    assert not any(parameter.requires_grad for parameter in tiny.parameters())
    assert not tiny.training


def test_only_the_low_quality_encoder_is_taken(tiny, tiny_weights):
    state = torch.load(tiny_weights / "ckpt/associate_2.ckpt", weights_only=True)["state_dict"]
    assert torch.equal(tiny.vre.encoder.encoder.conv_in.weight, state["vqvae_LQ.encoder.conv_in.weight"])
    assert torch.equal(tiny.vre.quantizer.embedding, state["vqvae_LQ.quantize.embedding.weight"])


def test_a_lightning_pickle_loads_without_lightning(files, tiny):
    assert "pytorch_lightning" not in sys.modules
    path = files / "ckpt/associate_2.ckpt"
    path.unlink()
    os.link(files / "ckpt/associate_2_plpickle.ckpt", path)
    with pytest.raises(Exception, match="pytorch_lightning"):
        torch.load(path, weights_only=True)
    assert same_weights(load(files), tiny)


def test_the_lora_is_merged_into_linear_and_convolution_layers(tiny, tiny_weights):
    base = load_file(tiny_weights / "sd21base/unet/diffusion_pytorch_model.safetensors")
    lora = load_file(tiny_weights / "ckpt/pytorch_lora_weights.safetensors")
    merged = tiny.unet.state_dict()
    for module in ("down_blocks.0.resnets.0.conv1", "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"):
        a, b = lora[f"unet.{module}.lora_A.weight"], lora[f"unet.{module}.lora_B.weight"]
        delta = torch.einsum("or,r...->o...", b.reshape(b.shape[0], 16), a)
        assert torch.allclose(merged[f"{module}.weight"], base[f"{module}.weight"] + delta, atol=1e-6)
        assert delta.abs().max() > 0.01
    touched = {key.removeprefix("unet.").rsplit(".lora_", 1)[0] + ".weight" for key in lora}
    assert all(torch.equal(merged[key], base[key]) for key in base if key not in touched)


def test_both_lora_namings_mean_the_same(tiny_weights):
    base = load_file(tiny_weights / "sd21base/unet/diffusion_pytorch_model.safetensors")
    peft = load_file(tiny_weights / "ckpt/pytorch_lora_weights.safetensors")
    linear = {key: value for key, value in peft.items() if value.ndim == 2}
    older = load_file(tiny_weights / "ckpt_updown/pytorch_lora_weights.safetensors")
    a, b = merge_lora(base, linear, "peft"), merge_lora(base, older, "older")
    assert linear.keys() != older.keys()
    assert all(torch.equal(a[key], b[key]) for key in base)


@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
def test_a_single_file_base_gives_the_same_model(files, tiny, suffix):
    single, path = as_single_file(files / "sd21base"), files / f"v2-1_512-ema-pruned{suffix}"
    if suffix == ".ckpt":
        torch.save({"state_dict": single, "global_step": 875000}, path)
    else:
        save_file(single, path)
    assert same_weights(load_authors_files(files / "ckpt", path, TINY), tiny)


def test_a_base_with_the_older_attention_names_gives_the_same_model(files, tiny):
    def rename(tensors):
        for new, old in (
            (".to_q.", ".query."),
            (".to_k.", ".key."),
            (".to_v.", ".value."),
            (".to_out.0.", ".proj_attn."),
        ):
            for key in [key for key in tensors if new in key]:
                tensors[key.replace(new, old)] = tensors.pop(key)

    change(files / "sd21base/vae/diffusion_pytorch_model.safetensors", rename)
    assert same_weights(load(files), tiny)


def test_a_base_in_half_precision_loads(files):
    path = files / "sd21base/unet/diffusion_pytorch_model.safetensors"
    halves = {key: tensor.half() for key, tensor in load_file(path).items()}
    path.unlink()
    save_file(halves, path.with_name("diffusion_pytorch_model.fp16.safetensors"))
    model = load_model(files / "ckpt", files / "sd21base")
    assert {parameter.dtype for parameter in model.unet.parameters()} == {torch.float32}
    stored = load_authors_files(files / "ckpt", files / "sd21base")
    assert {parameter.dtype for parameter in stored.unet.parameters()} == {torch.float16}


def test_written_files_are_the_authors_own_again(files, tmp_path):
    originals = {path.name: read_tensors(path)[0] for path in (files / "ckpt").iterdir()}
    folder = tmp_path / "written"
    folder.mkdir()
    write_authors_files(folder, load_authors_vre(files / "ckpt"), originals[LORA_FILE])
    for name in (VRE_FILE, PROMPT_FILE, LORA_FILE):
        written = read_tensors(folder / name)[0]
        assert written.keys() <= originals[name].keys()
        assert all(torch.equal(tensor, originals[name][key]) for key, tensor in written.items())
    assert same_weights(load(files), load_authors_files(folder, files / "sd21base"))

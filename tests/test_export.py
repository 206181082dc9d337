"""A bundle back into the authors' files."""

import pytest
import torch
from conftest import change

from osdface_core.errors import LoraError
from osdface_core.weights import convert, load_authors_files
from osdface_core.weights.export import export


def test_a_bundle_becomes_the_authors_files_and_those_the_same_model(files, tiny, tiny_weights):
    convert(files / "ckpt", files / "sd21base", files / "bundle.safetensors")
    export(files / "bundle.safetensors", files / "sd21base", files / "exported")
    again = load_authors_files(files / "exported", files / "sd21base").state_dict()
    for key, tensor in tiny.state_dict().items():
        if key.startswith("vre."):
            assert torch.equal(again[key], tensor), key
        else:
            assert (again[key] - tensor).abs().max() <= 1e-6 * tensor.abs().max(), key
    theirs = torch.load(tiny_weights / "ckpt/associate_2.ckpt", weights_only=True)["state_dict"]
    ours = torch.load(files / "exported/associate_2.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(theirs[key], tensor) for key, tensor in ours.items())


def test_another_base_is_told_apart(files):
    convert(files / "ckpt", files / "sd21base", files / "bundle.safetensors")
    unet = files / "sd21base/unet/diffusion_pytorch_model.safetensors"
    change(unet, lambda tensors: tensors["conv_out.weight"].normal_())
    with pytest.raises(LoraError, match=r"conv_out.weight differs.*that this bundle was made from"):
        export(files / "bundle.safetensors", files / "sd21base", files / "exported")
    assert not (files / "exported").exists()

"""The approximate decoder: both ways its weights are stored, and its place in a prepared model."""

import pytest
import torch
from conftest import twin_of
from diffusers import AutoencoderTiny
from safetensors.torch import save_file

from osdface_core import WeightsError, prepare
from osdface_core.inference.tiny_decoder import TinyDecoder


@pytest.fixture(scope="module")
def tiny_vae():
    torch.manual_seed(0)
    return AutoencoderTiny().eval().requires_grad_(False)


@pytest.fixture(params=["diffusers", "ComfyUI"])
def path(request, tiny_vae, tmp_path):
    """The weights as diffusers stores the whole autoencoder, or as TAESD's own decoder file."""
    tensors = tiny_vae.state_dict()
    if request.param == "ComfyUI":
        layers = {k.removeprefix("decoder.layers."): v for k, v in tensors.items() if k.startswith("decoder.layers.")}
        tensors = {f"{int(k.split('.')[0]) + 1}.{k.partition('.')[2]}": v for k, v in layers.items()}
    file = tmp_path / "taesd_decoder.safetensors"
    save_file({key: value.contiguous() for key, value in tensors.items()}, file)
    return file


def test_it_decodes_as_diffusers_does(tiny_vae, path):
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(TinyDecoder(path)(latents), tiny_vae.decode(latents).sample)


def test_a_prepared_model_decodes_with_it_alone(tiny, path, tiny_vae):
    model = prepare(twin_of(tiny), decoder=path)
    model.vae.decoder.register_forward_pre_hook(lambda *_: pytest.fail("the VAE's decoder ran"))
    latents = torch.randn(1, 4, 8, 8)
    with torch.no_grad():
        assert torch.equal(model.one_step.decode(latents), tiny_vae.decode(latents).sample)
    assert {key for key in model.state_dict() if key.startswith("decoder.")} == {
        f"decoder.decoder.{key.removeprefix('decoder.')}" for key in tiny_vae.state_dict() if key.startswith("decoder.")
    }


def test_another_file_is_refused(tiny_weights, tmp_path):
    with pytest.raises(WeightsError, match="no TAESD decoder"):
        TinyDecoder(tiny_weights / "sd21base" / "unet" / "diffusion_pytorch_model.safetensors")
    for number in ("0", "²", "9" * 5000):
        save_file({f"{number}.weight": torch.zeros(3)}, tmp_path / "odd.safetensors")
        with pytest.raises(WeightsError):
            TinyDecoder(tmp_path / "odd.safetensors")

"""Our networks against the classes they take their weights from, on random weights in float64 and float32."""

import copy
import threading

import pytest
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.autoencoders.vae import Decoder as DiffusersDecoder
from diffusers.models.autoencoders.vae import Encoder as DiffusersEncoder
from torch import nn

from osdface_core.kernels import convolution, stripes, triton_norm
from osdface_core.kernels.convolution import upsampled
from osdface_core.kernels.group_norm import Norm
from osdface_core.kernels.stripes import convolve_in_stripes
from osdface_core.networks.autoencoder import Decoder, Encoder
from osdface_core.networks.blocks import ResnetBlock, Upsample
from osdface_core.networks.config import UNetConfig, VAEConfig
from osdface_core.networks.operations import TORCH
from osdface_core.networks.unet import UNet
from osdface_core.networks.vae import VAE

UNET = {
    "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
    "block_out_channels": [64, 96, 128],
    "attention_head_dim": [2, 3, 4],
    "cross_attention_dim": 80,
    "norm_num_groups": 16,
}
UNETS = {
    "SD 2.1's": {"use_linear_projection": True},
    "SD 1's": {"use_linear_projection": False, "attention_head_dim": 8},
    "upcast": {"use_linear_projection": True, "upcast_attention": True},
    "one layer": {"layers_per_block": 1, "in_channels": 6, "out_channels": 6, "use_linear_projection": True},
    "attention elsewhere": {
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    },
}
VAES = {
    "SD's": {"block_out_channels": [64, 96, 128], "norm_num_groups": 16, "layers_per_block": 2},
    "wide latent": {"block_out_channels": [32, 64, 64], "layers_per_block": 1, "latent_channels": 16},
}


def randomised(network: nn.Module) -> nn.Module:
    """With weights that keep the scale of what goes through, so that every layer counts."""
    generator = torch.Generator().manual_seed(5)
    for name, parameter in network.named_parameters():
        spread = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.1
        centre = float(parameter.ndim == 1 and name.endswith("weight"))
        parameter.data = centre + spread * torch.randn(parameter.shape, generator=generator)
    return network.eval().requires_grad_(False)


def unets(kind):
    theirs = randomised(UNet2DConditionModel.from_config(UNET | UNETS[kind]))
    ours = UNet(UNetConfig.from_json(dict(theirs.config)))
    ours.load_state_dict(theirs.state_dict())
    return ours.eval().requires_grad_(False), theirs


def vaes(kind):
    levels = len(VAES[kind]["block_out_channels"])
    blocks = {
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
    }
    theirs = randomised(AutoencoderKL.from_config(blocks | VAES[kind]))
    ours = VAE(VAEConfig.from_json(dict(theirs.config)))
    ours.load_state_dict(theirs.state_dict())
    return ours.eval().requires_grad_(False), theirs


@pytest.mark.parametrize("kind", UNETS)
@pytest.mark.parametrize("size", [(16, 16), (17, 14)])
def test_the_unet_is_diffusers(kind, size):
    """At sizes that divide evenly and at one that does not; for one timestep and for one of each image."""
    ours, theirs = unets(kind)
    latents, context = torch.randn(2, ours.config.in_channels, *size), torch.randn(2, 77, 80)
    timesteps = torch.tensor([399, 10])
    expected = theirs.double()(latents.double(), 399, context.double()).sample
    each = theirs(latents.double(), timesteps, context.double()).sample
    with torch.no_grad():
        assert (ours(latents, 399, context) - expected).abs().max() < 3e-5
        assert (ours(latents, ours.time_shifts(399, latents), context) - expected).abs().max() < 3e-5
        assert (ours(latents, timesteps, context) - each).abs().max() < 3e-5
    assert (ours(latents, 399, context) - expected).abs().max() < 3e-5


@pytest.mark.parametrize("kind", VAES)
@pytest.mark.parametrize("size", [(64, 64), (56, 76)])
def test_the_vae_is_diffusers(kind, size):
    ours, theirs = vaes(kind)
    images = torch.rand(2, 3, *size) * 2 - 1
    posterior = theirs.double().encode(images.double()).latent_dist
    decoded = theirs.decode(posterior.mean).sample
    with torch.no_grad():
        encoded = ours.encode(images)
        assert (encoded.mean - posterior.mean).abs().max() < 3e-5
        assert (encoded.std - posterior.std).abs().max() < 3e-5
        assert torch.allclose(encoded.kl().double(), posterior.kl(), rtol=1e-5)
        assert (ours.decode(posterior.mean.float()) - decoded).abs().max() < 5e-5


def test_the_vqgan_halves_are_diffusers():
    """With attention at the smallest size, as OSDFace's embedder has it."""
    widths, layers = (32, 32, 64), 2
    down = ("DownEncoderBlock2D",) * 2 + ("AttnDownEncoderBlock2D",)
    up = ("AttnUpDecoderBlock2D",) + ("UpDecoderBlock2D",) * 2
    sizes = {"block_out_channels": widths, "layers_per_block": layers}
    theirs = randomised(DiffusersEncoder(out_channels=24, down_block_types=down, double_z=False, **sizes))
    ours = Encoder(3, 24, widths, layers, attention=True)
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, 48, 48)
    with torch.no_grad():
        features = ours(images)
        assert (features - theirs.double()(images.double())).abs().max() < 3e-5
    theirs = randomised(DiffusersDecoder(in_channels=24, up_block_types=up, **sizes))
    ours = Decoder(24, 3, widths, layers, attention=True)
    ours.load_state_dict(theirs.state_dict())
    with torch.no_grad():
        assert (ours(features) - theirs.double()(features.double())).abs().max() < 5e-5


@pytest.mark.parametrize("winograd", [False, True])
@pytest.mark.parametrize("size", [(8, 8), (64, 64), (68, 61)])
@pytest.mark.parametrize("channels", [(32, 32), (64, 96)])
def test_what_is_fused_is_what_its_layers_give(size, channels, winograd):
    """A block with a shortcut and one without, and an upsampling, smaller and larger than where Winograd begins."""
    into, out = channels
    block = randomised(ResnetBlock(into, out, 32, 1e-6, TORCH, time_channels=16))
    upsample = randomised(Upsample(into, TORCH))
    block.winograd = upsample.winograd = winograd
    x, shift = torch.randn(2, into, *size), torch.randn(1, out)
    kept = x.clone()
    exact = copy.deepcopy(block).double()
    expected, enlarged = exact(x.double(), shift.double()), copy.deepcopy(upsample).double()(x.double())
    with torch.no_grad():
        assert (block(x, shift) - expected).abs().max() < 1e-4
        assert (upsample(x) - enlarged).abs().max() < 1e-4
        odd = (2 * size[0] - 1, 2 * size[1])
        assert (upsample(x, odd) - copy.deepcopy(upsample).double()(x.double(), odd)).abs().max() < 1e-4
    assert torch.equal(x, kept)


def test_an_upsampling_folded_into_its_convolution_is_the_two_of_them():
    x, weight, bias = torch.randn(2, 5, 6, 7).double(), torch.randn(3, 5, 3, 3).double(), torch.randn(3).double()
    expected = F.conv2d(F.interpolate(x, scale_factor=2.0), weight, bias, padding=1)
    assert torch.allclose(upsampled(x, weight, bias), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("rows", "dtype", "near"),
    [(1, torch.float64, 1e-9), (7, torch.float64, 1e-9), (40, torch.float64, 1e-9), (7, torch.bfloat16, 0.06)],
)
def test_a_large_image_in_stripes_is_the_same(monkeypatch, dtype, near, rows):
    """A VAE's whole decoder with every layer in stripes, where a CPU has no way of its own: one row, some, and all."""
    vae = vaes("wide latent")[0]
    latents = torch.randn(2, 16, 10, 9)
    expected = copy.deepcopy(vae).double().decode(latents.double())
    with torch.no_grad():
        whole = vae.decode(latents.to(dtype))
        monkeypatch.setattr(convolution, "LARGE", 0)
        monkeypatch.setattr(stripes, "PIXELS", rows * 2 * 9)
        striped = vae.decode(latents.to(dtype))
    assert (striped - whole).abs().max() < near
    assert (striped - expected).abs().max() < max(near, 1e-4)


@pytest.mark.parametrize("level", [0.1, 10.1, 1000.3])
def test_a_flat_image_in_stripes_is_no_nan(level):
    """Its variance is nothing but rounding, which may be negative."""
    norm = Norm(torch.ones(32), torch.zeros(32), 4, 1e-6)
    flat = torch.full((1, 32, 90, 70), level)
    assert convolve_in_stripes(flat, torch.randn(32, 32, 3, 3), None, norm=norm, over=False).isfinite().all()


def test_weights_in_half_precision_compute_in_what_they_are_given():
    """Stored in float16, computed in float32, at every layer, whether fused or not."""
    ours = unets("SD 2.1's")[0]
    latents, context = torch.randn(1, 4, 16, 16), torch.randn(1, 77, 80)
    rounded = copy.deepcopy(ours).half().float()
    half = copy.deepcopy(ours).half()
    with torch.no_grad():
        made = half(latents, 399, context)
        assert made.dtype == torch.float32
        assert (made - rounded(latents, 399, context)).abs().max() < 1e-6


def test_gradients_reach_every_weight_and_checkpointing_changes_none():
    ours = unets("SD 2.1's")[0].requires_grad_(True)
    latents, context = torch.randn(1, 4, 16, 16), torch.randn(1, 77, 80)

    def gradients():
        ours.zero_grad()
        ours(latents, 399, context).square().sum().backward()
        return {name: parameter.grad.clone() for name, parameter in ours.named_parameters()}

    plain = gradients()
    ours.enable_gradient_checkpointing()
    again = gradients()
    assert all(gradient.abs().max() > 0 for name, gradient in plain.items() if "to_k.bias" not in name)
    assert all(torch.allclose(gradient, again[name], atol=1e-4, rtol=1e-4) for name, gradient in plain.items())


def test_four_threads_get_what_one_does():
    """No network keeps anything that a call changes."""
    ours, vae = unets("SD 2.1's")[0], vaes("SD's")[0]
    context = torch.randn(1, 77, 80)
    latents = [torch.randn(1, 4, 16 + 2 * n, 16) for n in range(4)]

    @torch.no_grad()
    def work(n):
        return ours(latents[n], 100 * n, context), vae.decode(latents[n])

    expected, made = [work(n) for n in range(4)], {}
    for _ in range(3):
        threads = [threading.Thread(target=lambda n=n: made.update({n: work(n)})) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(
            torch.equal(ours, theirs) for n in range(4) for ours, theirs in zip(made[n], expected[n], strict=True)
        )


def test_an_adapter_around_a_layer_has_its_say():
    """peft's LoRA, in inference as in training: a fused block must not go past it."""
    peft = pytest.importorskip("peft")
    ours = unets("SD 2.1's")[0]
    latents, context = torch.randn(1, 4, 16, 16), torch.randn(1, 77, 80)
    with torch.no_grad():
        plain = ours(latents, 399, context)
    targets = ["conv1", "to_q", "proj_in", "ff.net.2"]
    peft.inject_adapter_in_model(peft.LoraConfig(r=4, init_lora_weights=False, target_modules=targets), ours)
    expected = ours(latents, 399, context)
    with torch.no_grad():
        made = ours(latents, 399, context)
    assert (made - expected).abs().max() < 3e-5
    assert (made - plain).abs().max() > 1e-3


def test_it_compiles_without_a_break():
    """Through TorchDynamo alone, for which no compiler is needed."""
    ours, vae = unets("SD 2.1's")[0], vaes("SD's")[0]
    latents, context = torch.randn(1, 4, 16, 16), torch.randn(1, 77, 80)
    with torch.no_grad():
        shifts = ours.time_shifts(399, latents)
        for network, inputs in ((ours, (latents, shifts, context)), (vae.decoder, (latents,))):
            compiled = torch.compile(network, backend="eager", fullgraph=True)
            assert (compiled(*inputs) - network(*inputs)).abs().max() < 1e-4


@pytest.mark.parametrize("channels", [(32, 32), (64, 96)])
def test_a_gpus_block_leaves_no_bias_out(monkeypatch, channels):
    """Its biases are added by the norm and the sum that follow: here by PyTorch in their place."""
    into, out = channels
    block = randomised(ResnetBlock(into, out, 32, 1e-6, TORCH, time_channels=16))
    x, shift = torch.randn(2, into, 12, 10), torch.randn(1, out)
    expected = copy.deepcopy(block).double()(x.double(), shift.double())
    with torch.no_grad():
        monkeypatch.setattr(triton_norm, "usable", lambda x: True)
        monkeypatch.setattr(triton_norm, "kernels", lambda: None)
        assert (block(x, shift) - expected).abs().max() < 1e-4

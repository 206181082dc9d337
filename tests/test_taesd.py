"""TAESD's decoder in plain PyTorch, beside diffusers' class."""

from dataclasses import replace

import pytest
import torch
from diffusers import AutoencoderTiny
from torch import nn

from osdface_core.networks.operations import TORCH
from osdface_core.networks.taesd import TAESDDecoder


@pytest.fixture(scope="module")
def original():
    torch.manual_seed(0)
    return AutoencoderTiny().decoder.eval().requires_grad_(False)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_is_diffusers(original, dtype):
    original = original.to(dtype)
    ours = TAESDDecoder().eval().requires_grad_(False).to(dtype)
    ours.load_state_dict(original.state_dict())
    latents = torch.randn(2, 4, 7, 9, generator=torch.Generator().manual_seed(1)).to(dtype) * 3
    assert torch.equal(ours(latents), original(latents))


def test_its_layers_are_those_it_is_given():
    class Conv2d(nn.Conv2d):
        pass

    ours = TAESDDecoder(replace(TORCH, Conv2d=Conv2d))
    assert all(isinstance(part, Conv2d) for part in ours.modules() if isinstance(part, nn.Conv2d))

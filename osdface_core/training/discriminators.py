"""The networks that tell restored from real: one looks at pixels, one at noised latents."""

import copy
import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..networks.unet import UNet


class PatchDiscriminator(nn.Module):
    """PatchGAN: images [N,3,H,W] -> a verdict on every patch [N,1,h,w]; above 0 means real."""

    def __init__(self, channels: int = 64, levels: int = 3):
        super().__init__()
        widths = [channels * min(2**level, 8) for level in range(levels + 1)]
        layers: list[nn.Module] = [nn.Conv2d(3, channels, 4, 2, 1), nn.LeakyReLU(0.2)]
        for level, (before, after) in enumerate(itertools.pairwise(widths), start=1):
            stride = 2 if level < levels else 1
            layers += [nn.Conv2d(before, after, 4, stride, 1, bias=False)]
            layers += [nn.GroupNorm(8, after), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(2 * images - 1)


class LatentDiscriminator(nn.Module):
    """The down half of a diffusion UNet with a small head: a verdict on every place of a noised latent.

    Starting from a trained UNet it knows faces before it has seen one (paper section 3.3). It sees the VQ embeddings
    of the face through the UNet's cross-attention.
    """

    def __init__(self, unet: UNet, hidden: int = 256):
        """unet: whose down half is copied."""
        super().__init__()
        self.conv_in = copy.deepcopy(unet.conv_in)
        self.time_embedding = copy.deepcopy(unet.time_embedding)
        self.down_blocks = copy.deepcopy(unet.down_blocks)
        self.mid_block = copy.deepcopy(unet.mid_block)
        self.head = nn.Sequential(nn.Conv2d(unet.config.block_out_channels[-1], hidden, 1), nn.SiLU())
        self.verdict = nn.Conv2d(hidden, 1, 1)
        self.requires_grad_(True)

    def forward(self, latents: Tensor, timesteps: Tensor, embeds: Tensor) -> Tensor:
        """latents [N,C,h,w], timesteps [N], embeds [N,T,D] -> [N,1,h',w'], above 0 means real."""
        dtype = self.conv_in.weight.dtype
        time = F.silu(self.time_embedding(timesteps, dtype))
        x, embeds = self.conv_in(latents.to(dtype)), embeds.to(dtype)
        for block in [*self.down_blocks, self.mid_block]:
            made = block(x, [resnet.time_shift(time) for resnet in block.resnets], embeds)
            x = made[0] if isinstance(made, tuple) else made
        return self.verdict(self.head(x))


def add_noise(latents: Tensor, alphas_cumprod: Tensor, timesteps: Tensor, noise: Tensor) -> Tensor:
    """Forward diffusion of `latents` to `timesteps` [N]."""
    alphas = alphas_cumprod.to(latents)[timesteps].view(-1, 1, 1, 1)
    return alphas.sqrt() * latents + (1 - alphas).sqrt() * noise


def random_timesteps(latents: Tensor, alphas_cumprod: Tensor) -> Tensor:
    """One timestep for every latent, evenly over the whole schedule."""
    return torch.randint(len(alphas_cumprod), (len(latents),), device=latents.device)

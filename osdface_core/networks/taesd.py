"""TAESD's decoder: latents to images by a small network without norms or attention."""

import torch
from torch import Tensor, nn

from .operations import TORCH, Operations

CHANNELS, BLOCKS = 64, 3
"""How wide it is, and how many blocks it has at each of four sizes; at the last, largest, there is one."""


class TAESDDecoder(nn.Module):
    """Scaled latents [N,4,H,W] -> images [N,3,8H,8W] in about -1..1. Weight names are those of diffusers."""

    def __init__(self, operations: Operations = TORCH):
        super().__init__()
        layers: list[nn.Module] = [operations.Conv2d(4, CHANNELS, 3, padding=1), nn.ReLU()]
        for _ in range(3):
            layers += [Block(operations) for _ in range(BLOCKS)]
            layers += [nn.Upsample(scale_factor=2), operations.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)]
        layers += [Block(operations), operations.Conv2d(CHANNELS, 3, 3, padding=1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, latents: Tensor) -> Tensor:
        images: Tensor = self.layers(torch.tanh(latents / 3) * 3)
        return images * 2 - 1


class Block(nn.Module):
    """Three convolutions beside the identity."""

    def __init__(self, operations: Operations):
        super().__init__()
        first, second, third = (operations.Conv2d(CHANNELS, CHANNELS, 3, padding=1) for _ in range(3))
        self.conv = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv(x) + x)

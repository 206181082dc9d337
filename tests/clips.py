"""Short videos made from still photos."""

import torch
from torch import Tensor

from osdface_core import read_photo


def photo(shared, name: str, size: tuple[int, int]) -> Tensor:
    """The top of a shared photo, [3,H,W] of `size` (height, width)."""
    pixels = read_photo(shared / "images" / name).pixels
    return pixels[0, :, : size[0], : size[1]]


def still(picture: Tensor, frames: int, noise: float = 0.03, seed: int = 0) -> Tensor:
    """A camera at rest: the picture [3,H,W] again and again, with a sensor's noise: [B,3,H,W]."""
    generator = torch.Generator().manual_seed(seed)
    return (picture + noise * torch.randn(frames, *picture.shape, generator=generator)).clamp(0, 1)


def pan(picture: Tensor, frames: int, step: int, width: int) -> Tensor:
    """A camera that turns to the right by `step` pixels a frame."""
    return torch.stack([picture[:, :, step * n : step * n + width] for n in range(frames)])

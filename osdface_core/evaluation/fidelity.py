"""How close a picture is to the one it should be, pixel by pixel. Images are [N,3,H,W], 0..1; results [N]."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..geometry.luma import luma


def psnr(images: Tensor, target: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB, over the three channels. Infinite where they are the same."""
    return -10 * (images - target).square().mean((1, 2, 3)).log10()


def ssim(images: Tensor, target: Tensor) -> Tensor:
    """Structural similarity of the brightness, -1..1 (Wang et al. 2004: a Gaussian window of 11, sigma 1.5)."""
    offsets = torch.arange(11, device=images.device) - 5.0
    weights = (-(offsets**2) / (2 * 1.5**2)).exp()
    window = (weights[:, None] * weights / weights.sum() ** 2)[None, None]
    x, y = luma(images.float()), luma(target.float())
    mean_x, mean_y = F.conv2d(x, window), F.conv2d(y, window)
    var_x = F.conv2d(x * x, window) - mean_x**2
    var_y = F.conv2d(y * y, window) - mean_y**2
    both = F.conv2d(x * y, window) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    quotient = (2 * mean_x * mean_y + c1) * (2 * both + c2)
    return (quotient / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))).mean((1, 2, 3))

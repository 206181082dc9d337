"""How sharp a face is at the scale of its crop, which is where restoration would add detail."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..faces import FaceCrops, check_finite
from ..geometry.luma import luma

SIGMAS = (1.0, 2.0, 4.0)
"""Blurs, in pixels of the crop, whose differences are the fine and the coarse detail."""

LEFT, TOP, RIGHT, BOTTOM = 0.3, 0.38, 0.7, 0.8
"""The part of an FFHQ crop between the brows, the cheeks and the chin: no hair, and no background."""


def sharpness(crops: FaceCrops) -> tuple[float, ...]:
    """The sharpness of every face, as `sharpness_of` measures it. Raises ImageError for crops that are no numbers."""
    check_finite(crops.images, "face crop")
    return tuple(sharpness_of(crops.images).tolist())


def sharpness_of(images: Tensor) -> Tensor:
    """Of aligned crops [N,3,S,S]: about 0.3 for blurred ones, 0.5 and more for sharp ones, 0 without any detail: [N].

    It is fine detail by coarse detail: root mean squares of the luma's differences of Gaussians (sigma 1 and 2, by 2
    and 4 pixels of the crop). Contrast and brightness do not change it. Grain counts as detail, so strong grain makes
    a blurred face look sharp.
    """
    size = images.shape[-1]
    faces = images[..., int(TOP * size) : int(BOTTOM * size), int(LEFT * size) : int(RIGHT * size)]
    brightness = luma(faces)
    first, second, third = (blur(brightness, sigma) for sigma in SIGMAS)
    fine, coarse = ((a - b).square().mean((1, 2, 3)).sqrt() for a, b in ((first, second), (second, third)))
    return torch.where(coarse > 1e-4, fine / coarse.clamp(min=1e-4), 0)


def blur(images: Tensor, sigma: float) -> Tensor:
    """A Gaussian blur of [N,1,H,W]."""
    reach = int(3 * sigma)
    kernel = torch.exp(-((torch.arange(-reach, reach + 1).to(images) / sigma) ** 2) / 2)
    kernel = kernel / kernel.sum()
    images = F.pad(images, (reach,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(images, kernel[None, None, :, None]), kernel[None, None, None])

"""Give restored crops the colours of the photo they came from.

OSDFace itself changes no colours afterwards, so "none" is the authors' result.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ImageError
from ..faces import FaceCrops, check_finite, check_range
from ..options import Color

LEVELS = 5
"""Wavelet levels: colours are taken from structures of about 2^5 pixels and more in a 512-pixel crop."""


def match_color(restored: FaceCrops, source: FaceCrops, method: Color = "wavelet", strength: float = 1.0) -> FaceCrops:
    """The restored crops with the colours of the source crops of the same faces.

    wavelet: low frequencies of the source, high frequencies of the restored crop; local colours follow.
    adain: every channel's mean and spread from the source (adaptive instance normalisation), as a whole.
    strength: 0..1, a straight mix with the restored crop.
    Raises ImageError where these are not crops of the same faces, hold NaN or infinities, there is no such method, or
    the strength is out of its range.
    """
    if restored.faces != source.faces:
        raise ImageError("The restored crops and the source crops are not of the same faces. Connect the same faces.")
    check_range(0, 1, strength=strength)
    for crops in (restored, source):
        check_finite(crops.images, "face crop")
    if method == "none" or strength == 0 or not len(restored):
        return restored
    images = restored.images
    colours = source.images.to(images)
    if colours.shape != images.shape:
        colours = F.interpolate(colours, images.shape[2:], mode="bilinear", antialias=True)
    if method == "wavelet":
        matched = images - low_frequencies(images) + low_frequencies(colours)
    elif method == "adain":
        spread, mean = torch.std_mean(images, dim=(2, 3), keepdim=True)
        wanted_spread, wanted_mean = torch.std_mean(colours, dim=(2, 3), keepdim=True)
        matched = (images - mean) * (wanted_spread / spread.clamp(min=1e-5)) + wanted_mean
    else:
        raise ImageError(f"There is no method {method!r}. Choose none, wavelet or adain.")
    return restored.with_images(torch.lerp(images, matched, strength))


def low_frequencies(images: Tensor) -> Tensor:
    """What is left of [N,3,S,S] after blurring at every level of the wavelet (à trous, binomial kernel)."""
    kernel = torch.tensor([0.25, 0.5, 0.25]).to(images)
    weight = (kernel[:, None] * kernel[None, :]).expand(3, 1, 3, 3)
    for level in range(LEVELS):
        reach = 2**level * max(images.shape[-1] // 512, 1)
        padded = F.pad(images, (reach,) * 4, mode="replicate")
        images = F.conv2d(padded, weight, groups=3, dilation=reach)
    return images

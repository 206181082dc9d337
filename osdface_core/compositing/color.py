"""Give restored crops the colours of the photo they came from.

OSDFace itself changes no colours afterwards, so "none" is the authors' result.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ImageError
from ..faces import FaceCrops, check_finite
from ..options import Color, MatchColor

LEVELS = 5
"""Wavelet levels: colours are taken from structures of about 2^5 pixels and more in a 512-pixel crop."""
FLAT = 1e-5
"""Added to variances, so that a plain surface does not become noise."""
LUMA = (0.299, 0.587, 0.114)
"""How bright each colour is (BT.601)."""
TINT = 0.008
"""How far the pixels of a photo of one tint lie from it (root mean square; colour photos of faces: 0.024 and more)."""


def match_color(
    restored: FaceCrops, source: FaceCrops, method: Color = MatchColor.method, strength: float = MatchColor.strength
) -> FaceCrops:
    """The restored crops with the colours of the source crops of the same faces; of one tint where these are.

    method: one of METHODS, or "none" to leave them. strength: 0..1, a straight mix with the restored crop.
    Raises OptionError for a method there is not or a strength out of its range, and ImageError where these are not
    crops of the same faces, or hold NaN or infinities.
    """
    MatchColor(method, strength).validate()
    if restored.faces != source.faces:
        raise ImageError("The restored crops and the source crops are not of the same faces. Connect the same faces.")
    for crops in (restored, source):
        check_finite(crops.images, "face crop")
    if method == "none" or strength == 0 or not len(restored):
        return restored
    images = restored.images
    colours = source.images
    if colours.shape != images.shape:  # in float32: a CPU has no other way for half precision
        colours = F.interpolate(colours.float(), images.shape[2:], mode="bilinear", antialias=True)
    colours = colours.to(images)
    made = in_one_tint(METHODS[method](images, colours), colours)
    return restored.with_images(torch.lerp(images, made, strength))


def wavelet(images: Tensor, colours: Tensor, reach: int | None = None) -> Tensor:
    """Low frequencies of `colours` under high frequencies of `images`, both [N,3,H,W]: local colours follow.

    reach: how far the first blur looks, in pixels; by default one for every 512 of the width.
    """
    reach = reach or max(images.shape[-1] // 512, 1)
    return images - low_frequencies(images, reach) + low_frequencies(colours, reach)


def adain(images: Tensor, colours: Tensor) -> Tensor:
    """`images` with every channel's mean and spread from `colours`, both [N,3,H,W]: adaptive instance normalisation."""
    mean, wanted_mean = (them.mean((2, 3), keepdim=True) for them in (images, colours))
    spread, wanted_spread = ((them.var((2, 3), keepdim=True) + FLAT).sqrt() for them in (images, colours))
    return (images - mean) / spread * wanted_spread + wanted_mean


def in_one_tint(images: Tensor, colours: Tensor) -> Tensor:
    """`images` in the tint of `colours`, both [N,3,H,W], where these have but one: grey photos stay grey, brown brown.

    A tint is a straight line through all colours, along which brightness leads. What lies up to twice TINT away from it
    is drawn to it in part, so that no frame of a video differs from the next.
    """
    colours, luma = colours.float(), torch.tensor(LUMA, device=colours.device)[:, None, None]
    bright, made_bright = ((luma * them).sum(1, keepdim=True) for them in (colours, images.float()))
    mean, brightness = (them.mean((2, 3), keepdim=True) for them in (colours, bright))
    varied = bright - brightness
    slope = (varied * (colours - mean)).mean((2, 3), keepdim=True) + FLAT
    slope = slope / (varied.square().mean((2, 3), keepdim=True) + FLAT)
    off = (colours - mean - slope * varied).square().mean((1, 2, 3), keepdim=True).sqrt()
    share = (2 - off / TINT).clamp(0, 1)
    toned = (mean + slope * (made_bright - brightness)).to(images)
    return torch.where(share > 0, torch.lerp(images, toned, share.to(images)), images)


METHODS: dict[Color, Callable[[Tensor, Tensor], Tensor]] = {"wavelet": wavelet, "adain": adain}


def low_frequencies(images: Tensor, reach: int) -> Tensor:
    """What is left of [N,3,H,W] after blurring at every level of the wavelet (à trous, binomial kernel)."""
    kernel = torch.tensor([0.25, 0.5, 0.25]).to(images)
    weight = (kernel[:, None] * kernel[None, :]).expand(3, 1, 3, 3)
    for level in range(LEVELS):
        apart = 2**level * reach
        padded = F.pad(images, (apart,) * 4, mode="replicate")
        images = F.conv2d(padded, weight, groups=3, dilation=apart)
    return images

"""One picture exactly as OSEDiff's own program restores it: its sizes, tiles, colours and steps through 8 bits.

From its description and recordings (cswry/OSEDiff, test_osediff.py of December 2024). `restore_image` does without the
8 bits and the tiles, and keeps the photo's size.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import ceil, pi

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .compositing.color import adain, wavelet
from .devices import upload
from .errors import ImageError, OptionError
from .faces import check_image
from .models.one_step import check_restored
from .models.osediff import OSEDiffModel
from .options import Color

SEED = 42
"""What the program's --seed says by default. It never uses it: its results differ from run to run."""


@torch.no_grad()
def restore_exactly(
    image: Tensor,
    model: OSEDiffModel,
    *,
    prompt: str | None = None,
    seed: int | None = SEED,
    color: Color = "none",
    process_size: int = 512,
    upscale: int = 1,
    tile: int = 96,
    overlap: int = 32,
) -> Tensor:
    """Restore one image [1,3,H,W], 0..1, of 8 bits, at the size that `prepared` gives it. Returned in 8 bits, 0..1.

    prompt: the whole text, tags and wish (`models.osediff.prompt_text`); it has to be one that the model knows.
    seed: of the posterior's noise, drawn on the CPU; None takes its mode, as the program cannot.
    color: how the picture's own colours are given back, if at all; for faces the program does not.
    process_size, upscale: see `prepared`; the program's general model enlarges 4 times.
    tile, overlap: in latents; where a picture has more of them than a tile, its noise is predicted tile by tile.
    The program's VAE tiles are not followed: they begin where a side is longer than 1088 pixels.
    Raises OptionError for values that cannot be and ImageError where the networks give no numbers.
    """
    check_image(image)
    source = prepared(image, process_size, upscale)
    step, (height, width) = model.one_step, (side // 8 for side in source.shape[2:])
    if height * width > tile * tile:
        tile = min(tile, height, width)
        if not 0 <= overlap < tile:
            raise OptionError("overlap", overlap, f"it must be 0 or more, and less than a tile: {tile} latents")
        step = replace(step, predict_noise=partial(in_tiles, step.predict_noise, tile=tile, overlap=overlap))
    restored = check_restored(step(upload(source, model.device), model.texts.embed(prompt), seed)).cpu()
    return recoloured(truncated(restored), source, color)


def prepared(image: Tensor, process_size: int = 512, upscale: int = 1) -> Tensor:
    """What the program makes of a picture [1,3,H,W] before its networks see it: [1,3,h,w] of 8 bits, 0..1.

    Where a side is shorter than process_size // upscale, both are enlarged until it is not; then `upscale` times; then
    resized, not cut, down to multiples of 8. Raises OptionError for what is no size or factor.
    """
    for name, value in (("process_size", process_size), ("upscale", upscale)):
        if value < 1:
            raise OptionError(name, value, "it must be 1 or more")
    levels = (image[0].permute(1, 2, 0).cpu() * 255).round().byte()
    picture, shortest = Image.fromarray(levels.numpy()), process_size // upscale
    if min(picture.size) < shortest:
        scale = shortest / min(picture.size)
        picture = picture.resize((int(scale * picture.width), int(scale * picture.height)))
    picture = picture.resize((picture.width * upscale, picture.height * upscale))
    width, height = (side - side % 8 for side in picture.size)
    if min(width, height) < 64:
        raise ImageError(f"{picture.width}x{picture.height} pixels are too few: it takes 64 or more a side.")
    picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 255


def recoloured(restored: Tensor, source: Tensor, color: Color) -> Tensor:
    """The restored picture with the source's colours, both [1,3,H,W] of 8 bits, 0..1: in 8 bits again."""
    if color == "none":
        return restored
    matched = wavelet(restored, source, reach=1) if color == "wavelet" else adain(restored, source)
    return truncated(matched.clamp(0, 1))


def truncated(image: Tensor) -> Tensor:
    """An image 0..1 cut off to 8 bits, as the program does wherever it makes a picture of a tensor."""
    return (image * 255).floor() / 255


def in_tiles(
    predict: Callable[[Tensor, int, Tensor], Tensor],
    latents: Tensor,
    timestep: int,
    context: Tensor,
    *,
    tile: int,
    overlap: int,
) -> Tensor:
    """The noise in latents [1,C,h,w], predicted tile by tile and averaged where they overlap, the middle of a tile
    weighing most."""
    height, width = latents.shape[2:]
    weight = tile_weight(tile).to(latents)
    total, sums = torch.zeros_like(latents), torch.zeros_like(latents[:, :1])
    for x in tile_starts(width, tile, overlap):
        for y in tile_starts(height, tile, overlap):
            rows, columns = slice(y, y + tile), slice(x, x + tile)
            total[..., rows, columns] += predict(latents[..., rows, columns], timestep, context).to(total) * weight
            sums[..., rows, columns] += weight
    return total / sums


def tile_starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin along an axis: as few as cover it, the last one moved back to end where the axis does."""
    count = ceil((length - tile) / (tile - overlap)) + 1
    return [min(n * (tile - overlap), length - tile) for n in range(count)]


def tile_weight(tile: int) -> Tensor:
    """How much each place of a tile weighs [tile,tile], float64: a Gaussian, half a cell off its middle in y."""
    place = torch.arange(tile, dtype=torch.float64)

    def gaussian(middle: float) -> Tensor:
        return (-((place - middle) ** 2) / (0.02 * tile**2)).exp() / (0.02 * pi) ** 0.5

    return gaussian(tile / 2)[:, None] * gaussian((tile - 1) / 2)[None, :]

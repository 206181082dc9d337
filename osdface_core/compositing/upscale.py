"""Enlarge what is around the faces by a network of spandrel's, tile by tile, so that hair and clothes match them."""

from collections.abc import Iterator
from itertools import pairwise, product
from pathlib import Path

import torch
from torch import Tensor

from ..batches import OnBatch
from ..devices import is_out_of_memory, upload
from ..faces import check_image
from ..options import Load
from ..weights.spandrel import Descriptor, read_upscaler

TILE, LARGE_TILE, LEAST_TILE = 512, 1024, 128
"""Sides of tiles in pixels: as they are cut, where the network suffers from cuts, and where memory is short."""
CONTEXT, SEAM = 16, 32
"""Pixels at each side of a cut that only inform the others, and over which neighbours fade into each other between."""


class Upscaler:
    """Images [B,3,H,W], 0..1, enlarged by the network's scale; by 1 where it only cleans them."""

    def __init__(self, descriptor: Descriptor):
        self.descriptor, self.scale = descriptor, int(descriptor.scale)

    @torch.no_grad()
    def __call__(self, image: Tensor, on_tile: OnBatch | None = None) -> Tensor:
        """The images, enlarged, where they are.

        on_tile: called with (tiles done, tiles in all); what it raises ends the work.
        Raises ImageError where `image` is no such batch.
        """
        check_image(image)
        whole = max(image.shape[2:])
        tile = {"SUPPORTED": TILE, "DISCOURAGED": LARGE_TILE, "INTERNAL": whole}[self.descriptor.tiling.name]
        while True:
            try:
                return self.by_tiles(image, tile, on_tile)
            except Exception as error:
                if not is_out_of_memory(error) or tile <= LEAST_TILE:
                    raise
            tile = max(min(tile, whole) // 2, LEAST_TILE)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def by_tiles(self, image: Tensor, tile: int, on_tile: OnBatch | None) -> Tensor:
        frames, _, height, width = image.shape
        scale, like = self.scale, next(self.descriptor.model.parameters())
        enlarged = image.new_zeros(frames, 3, height * scale, width * scale)
        tiles = list(product(range(frames), pieces(height, tile, scale), pieces(width, tile, scale)))
        for done, (frame, (rows, fade_y), (columns, fade_x)) in enumerate(tiles, 1):
            cut = upload(image[frame : frame + 1, :, rows, columns], like.device, like.dtype)
            fade = fade_y[:, None] * fade_x
            y, x = (slice(part.start * scale, part.stop * scale) for part in (rows, columns))
            enlarged[frame, :, y, x] += self.descriptor(cut)[0].to(image) * fade.to(image)
            if on_tile is not None:
                on_tile(done, len(tiles))
        return enlarged.clamp_(0, 1)


def pieces(length: int, tile: int, scale: int) -> Iterator[tuple[slice, Tensor]]:
    """Cuts of at most `tile` pixels that cover a side, evenly, and how much each counts at every enlarged pixel.

    All of them together count 1 everywhere. Where two overlap, they fade into each other over SEAM pixels in between.
    """
    count = 1 if length <= tile else -(-(length - SEAM - 2 * CONTEXT) // (tile - SEAM - 2 * CONTEXT))
    starts = [round(number * (length - tile) / max(count - 1, 1)) for number in range(count)]
    places = torch.arange(length * scale) / scale + 0.5 / scale
    begun = [torch.ones_like(places)]  # how much every cut and those after it count together
    for start, following in pairwise(starts):
        middle = (following + start + tile) / 2
        begun.append(((places - middle) / SEAM + 0.5).clamp(0, 1))
    begun.append(torch.zeros_like(places))
    for start, own, rest in zip(starts, begun, begun[1:], strict=False):
        part = slice(start, min(start + tile, length))
        yield part, (own - rest)[part.start * scale : part.stop * scale]


def load_upscaler(weights: str | Path, *, device: str | torch.device = "cpu") -> Upscaler:
    """The upscaler in a file, ready on `device`, in float32: any that spandrel knows, such as Real-ESRGAN.

    Raises a WeightsError that says what is wrong with the file, MissingLibraryError, and OptionError for a device that
    is not there.
    """
    Load(str(device)).validate()
    return Upscaler(read_upscaler(weights).to(torch.device(device)))

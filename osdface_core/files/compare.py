"""A photo before and after, side by side in one picture."""

from pathlib import Path, PurePath
from typing import TypeVar

import torch
import torch.nn.functional as F

from .page import thumbnail
from .photos import read_photo
from .places import local, write_whole

AnyPath = TypeVar("AnyPath", bound=PurePath)
SUFFIX = ".compare.jpg"
LINE = 4
"""Pixels of the white line between the two."""
TALLEST = 1080


def compared(output: AnyPath) -> AnyPath:
    """Where the comparison of a restored photo lies: beside it."""
    return output.with_suffix(SUFFIX)


def write_comparison(before: Path, after: Path) -> None:
    """Write `before | after` of a photo and its restored file beside that, at the restored one's size or less."""
    photos = []
    for path in (before, after):
        with local(path) as file:
            photos.append(read_photo(file).pixels)
    height, width = photos[1].shape[2:]
    scale = min(1, TALLEST / height)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    left, right = (F.interpolate(photo, size, mode="bicubic", antialias=True).clamp(0, 1) for photo in photos)
    both = torch.cat([left, left.new_ones(1, 3, size[0], LINE), right], dim=3)
    write_whole(compared(after), thumbnail(both, (both.shape[2], both.shape[3])))

"""Photographs to train on and to measure by, as arrays [H,W,3], 0..1."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import ImageError
from ..files.photos import read_photo
from ..libraries import library

cv2 = library("cv2")


def read_square(path: Path, size: int) -> np.ndarray:
    """A photograph of an aligned face as [size,size,3] float32, 0..1, RGB.

    Raises ImageError where it is broken or not square.
    """
    pixels = read_photo(path).pixels[0].permute(1, 2, 0).numpy()
    height, width = pixels.shape[:2]
    if height != width:
        raise ImageError(f"{path}: an aligned face is square, and this is {width}x{height}. Crop its faces first.")
    if pixels.shape[:2] == (size, size):
        return pixels
    shrink = pixels.shape[0] > size
    return cv2.resize(pixels, (size, size), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_CUBIC).clip(0, 1)


def as_tensor(image: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1), np.float32))

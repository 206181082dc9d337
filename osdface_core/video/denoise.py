"""Crops of a video made steady before they are restored: each averaged with its neighbours where they look alike.

A restorer answers noise with other detail in every frame. Averaging what it is shown, rather than what it returns,
leaves its detail sharp.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..faces import FaceCrops, check_finite
from ..options import Video

CELLS = 32
"""Crops are compared in so many cells a side, whose means are nearly free of noise."""


def steady_crops(crops: FaceCrops, *, smoothing: float = Video.steady, tolerance: float = Video.tolerance) -> FaceCrops:
    """Average every tracked face's crops over the frames before and after, where they show the same.

    What moves, speaks or blinks is left to its own frame. A face's crops are those of one `index`, in frames that
    follow one another.

    smoothing: how many frames to either side count (the standard deviation of a Gaussian); 0 changes nothing.
    tolerance: up to 1, by how much a part of the face may differ between frames and still count as the same.
    Raises OptionError where these are out of their ranges (0..1000, 0.0001..1), and ImageError where crops are no
    numbers.
    """
    Video(steady=smoothing, tolerance=tolerance).validate()
    check_finite(crops.images, "face crop")
    reach = reach_of(smoothing)
    if not reach or not len(crops):
        return crops
    place = {(face.index, face.frame): number for number, face in enumerate(crops.faces)}
    images = crops.images.clone()
    cells = F.adaptive_avg_pool2d(crops.images, CELLS)
    for (index, frame), number in place.items():
        offsets = [0, *run(place, index, frame, reach), *run(place, index, frame, -reach)]
        around = [place[index, frame + offset] for offset in offsets]
        age = torch.tensor(offsets, device=images.device)[:, None, None, None] / smoothing
        change = F.max_pool2d((cells[around] - cells[number]).square().mean(1, keepdim=True), 3, 1, 1)
        weights = torch.exp(-(age**2 + change / tolerance**2) / 2)
        images[number] = average(crops.images, around, weights)
    return crops.with_images(images)


def reach_of(smoothing: float) -> int:
    """How many frames to either side are looked at."""
    return int(2 * smoothing)


def run(place: dict[tuple[int, int], int], index: int, frame: int, reach: int) -> list[int]:
    """The offsets to the frames next to `frame`, forwards or backwards, that show the face without a break."""
    step = 1 if reach > 0 else -1
    offsets = []
    for offset in range(step, reach + step, step):
        if (index, frame + offset) not in place:
            break
        offsets.append(offset)
    return offsets


def average(images: Tensor, members: list[int], weights: Tensor) -> Tensor:
    """The mean [3,S,S] of some of the images [N,3,S,S], with weights [len(members),1,CELLS,CELLS]."""
    size = images.shape[2:]
    total, mean = torch.zeros_like(images[0, :1]), torch.zeros_like(images[0])
    for member, weight in zip(members, weights, strict=True):
        weight = F.interpolate(weight[None], size, mode="bilinear")[0]
        total += weight
        mean.addcmul_(weight, images[member])
    return mean / total

"""Where crops lie in a background, and which of them touch."""

from collections.abc import Iterable
from math import ceil, floor

import torch
from torch import Tensor

from ..faces import FaceCrops, inverse

Region = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; right and bottom exclusive."""


def background_matrices(crops: FaceCrops, height: int, width: int) -> Tensor:
    """Crop pixels to background pixels [N,2,3]. Pixel edges, not centres, scale with the image (half-pixel rule)."""
    to_background = inverse(crops.to_crop)
    scale = torch.tensor([[width / crops.faces.width], [height / crops.faces.height]], dtype=torch.float64)
    to_background = to_background * scale
    to_background[:, :, 2:] += (scale - 1) / 2
    return to_background


def region_of(to_background: Tensor, size: int, height: int, width: int) -> Region:
    """The pixels of the background that a crop can reach."""
    last = size - 1.0
    corners = torch.tensor([[0, last, 0, last], [0, 0, last, last]], dtype=torch.float64)
    x, y = to_background[:, :2] @ corners + to_background[:, 2:]
    left, top = max(floor(x.min().item()) - 1, 0), max(floor(y.min().item()) - 1, 0)
    return left, top, min(ceil(x.max().item()) + 2, width), min(ceil(y.max().item()) + 2, height)


def is_empty(region: Region) -> bool:
    return region[0] >= region[2] or region[1] >= region[3]


def hull(regions: Iterable[Region]) -> Region:
    left, top, right, bottom = zip(*regions, strict=True)
    return min(left), min(top), max(right), max(bottom)


def touching(members: list[int], regions: list[Region]) -> list[list[int]]:
    """Put faces whose regions overlap, directly or through others, into one group, to be mixed together."""
    groups: list[list[int]] = []
    for member in members:
        near = [group for group in groups if any(overlap(regions[n], regions[member]) for n in group)]
        groups = [group for group in groups if group not in near]
        groups.append([*(n for group in near for n in group), member])
    return [sorted(group, key=members.index) for group in groups]


def overlap(a: Region, b: Region) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]

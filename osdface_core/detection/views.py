"""What a detector is shown of a batch of images: parts of them, resized, on grey, and turned; and the way back."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..devices import upload
from ..faces import Box, Face, Point

GREY = 0.5
"""What is around an image."""

Rectangle = tuple[int, int, int, int]
"""Left, top, right and bottom, in whole pixels."""


@dataclass(frozen=True)
class View:
    """A rectangle of one image, drawn on grey and then turned."""

    frame: int
    """Which image of the batch."""
    part: Rectangle
    """What is shown, in pixels of the image."""
    place: Rectangle
    """Where it is drawn, in pixels of the view before it is turned."""
    size: tuple[int, int]
    """Height and width of the view before it is turned."""
    turns: int = 0
    """Quarters to the left."""

    @property
    def turned_size(self) -> tuple[int, int]:
        """Height and width of what `draw` gives."""
        height, width = self.size
        return (width, height) if self.turns % 2 else (height, width)

    @property
    def longer_side(self) -> int:
        """Of what is shown, in pixels of the image."""
        left, top, right, bottom = self.part
        return max(right - left, bottom - top)

    def draw(self, images: Tensor, device: torch.device) -> Tensor:
        """The view [3,h,w] of a batch [B,3,H,W], 0..1, on `device`."""
        left, top, right, bottom = self.part
        x0, y0, x1, y1 = self.place
        drawn = torch.full((3, *self.size), GREY, device=device)
        if x0 < x1 and y0 < y1:
            shown = upload(images[self.frame, :, top:bottom, left:right], device)
            drawn[:, y0:y1, x0:x1] = resized(shown, (y1 - y0, x1 - x0))
        return torch.rot90(drawn, self.turns, (1, 2))

    def back(self, face: Face) -> Face:
        """A face of what `draw` gives, in pixels of the image."""
        left, top, right, bottom = self.part
        x0, y0, x1, y1 = self.place
        across, down = (right - left) / (x1 - x0), (bottom - top) / (y1 - y0)
        height, width = self.size
        face = scaled(face, *((down, across) if self.turns % 2 else (across, down)))
        face = turned_back(face, self.turns, height * down, width * across)
        return moved(face, left - x0 * across, top - y0 * down)


def view_of(frame: int, window: Box, within: Rectangle, size: tuple[int, int], turns: int = 0) -> View:
    """What a window on an image shows at a size (height, width) before it is turned.

    window, within: in pixels of the image. What of the window lies outside of `within` is grey.
    """
    (left, right), (x0, x1) = shown(window[0], window[2], within[0], within[2], size[1])
    (top, bottom), (y0, y1) = shown(window[1], window[3], within[1], within[3], size[0])
    return View(frame, (left, top, right, bottom), (x0, y0, x1, y1), size, turns)


def shown(start: float, end: float, first: int, last: int, length: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """On one axis: which pixels from `first` to `last` a window shows, and where, if it is drawn `length` pixels long.

    Where it shows any, they are at least one pixel of the view.
    """
    low, high = max(int(start), first), min(int(end), last)
    if low >= high:
        return (first, first), (0, 0)
    place = min(max(round((low - start) * length / (end - start)), 0), length - 1)
    return (low, high), (place, min(max(round((high - start) * length / (end - start)), place + 1), length))


def resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    """An image [3,H,W], 0..1, at a height and width, without aliasing."""
    if image.shape[1:] == size:
        return image
    if image.shape[1] < size[0]:
        return enlarged(enlarged(image, size[0], 1), size[1], 2).clamp(0, 1)
    return F.interpolate(image[None], size, mode="bicubic", antialias=True)[0].clamp(0, 1)


def enlarged(image: Tensor, length: int, axis: int) -> Tensor:
    """An image at a greater length on one axis: Lanczos over eight pixels, as OpenCV does it.

    Detection depends on it: with PyTorch's bicubic, landmarks in photos of 128 px move by 5 % of the eyes' distance.
    """
    old = image.shape[axis]
    positions = (torch.arange(length, device=image.device) + 0.5) * (old / length) - 0.5
    first = positions.floor()
    shape = [-1 if n == axis else 1 for n in range(3)]
    weights = [(positions - first - tap).sinc() * ((positions - first - tap) / 4).sinc() for tap in range(-3, 5)]
    total = torch.stack(weights).sum(0)
    result = torch.zeros((), device=image.device)
    for tap, weight in zip(range(-3, 5), weights, strict=True):
        pixels = image.index_select(axis, (first + tap).long().clamp(0, old - 1))
        result = result + pixels * (weight / total).view(shape)
    return result


def moved(face: Face, x: float, y: float) -> Face:
    left, top, right, bottom = face.box
    landmarks = tuple((px + x, py + y) for px, py in face.landmarks)
    return replace(face, box=(left + x, top + y, right + x, bottom + y), landmarks=landmarks)


def scaled(face: Face, x: float, y: float) -> Face:
    left, top, right, bottom = face.box
    landmarks = tuple((px * x, py * y) for px, py in face.landmarks)
    return replace(face, box=(left * x, top * y, right * x, bottom * y), landmarks=landmarks)


def turned_back(face: Face, turns: int, height: float, width: float) -> Face:
    """A face of an image that was turned by so many quarters to the left, in pixels of the image [height,width]."""
    if not turns:
        return face

    def back(point: Point) -> Point:
        x, y = point
        return ((x, y), (width - 1 - y, x), (width - 1 - x, height - 1 - y), (y, height - 1 - x))[turns]

    corners = back(face.box[:2]), back(face.box[2:])
    (left, right), (top, bottom) = (sorted(values) for values in zip(*corners, strict=True))
    return replace(face, box=(left, top, right, bottom), landmarks=tuple(back(point) for point in face.landmarks))

"""Scenes to learn detection from: face photographs of all sizes about a picture, over anything else.

A scene comes twice, with its faces as they are and degraded. What is a face in it and what is not is for a teacher to
say: nothing here keeps record. Images are float32 arrays [H,W,3], 0..1, RGB.
"""

import itertools
from collections.abc import Callable
from math import ceil, cos, radians, sin

import numpy as np

from ..evaluation.degradation import Degradation, Image, through_jpeg
from ..libraries import library

cv2 = library("cv2")

Draw = Callable[[], Image]
"""A random photograph, square, [P,P,3] uint8."""

SMALLEST = 24
"""Side of the smallest photographs in a scene, in pixels; their faces are two thirds of it."""

CROWD = 40
"""Most faces in a scene."""

DEGRADED = 64
"""Smaller photographs are bad enough as they are."""


def compose(draw: Draw, side: int, degradation: Degradation, rng: np.random.Generator) -> tuple[Image, Image]:
    """A scene [side,side,3], and the same one degraded."""
    good = background(draw, side, rng)
    bad = good.copy()
    for size in sorted(draw_sizes(side, rng), reverse=True):
        photo = lit(draw(), rng)
        if size < len(photo):
            photo = cv2.resize(photo, (size, size), interpolation=cv2.INTER_AREA)
        worse = degradation(photo, rng) if len(photo) >= DEGRADED and rng.random() < 0.7 else photo
        centre = rng.uniform(-0.05, 1.05, 2) * side if size < side else rng.uniform(0.3, 0.7, 2) * side
        matrix = placed(len(photo), size, centre, rng)
        mask = cut(len(photo), rng)
        for scene, version in ((good, photo), (bad, worse)):
            paste(scene, version, mask, matrix)
        if rng.random() < 0.3:
            seed = rng.integers(2**32)
            for scene in (good, bad):
                cover(scene, centre, size, np.random.default_rng(seed))
    return good, taken(bad, rng)


def draw_sizes(side: int, rng: np.random.Generator) -> list[int]:
    """The sides of a scene's photographs: a close-up with little beside it, a crowd, or a few of any size."""
    kind = rng.random()
    if kind < 0.2:
        sizes = [rng.uniform(0.8, 1.8) * side, *rng.uniform(SMALLEST, side / 2, int(rng.integers(3)))]
    elif kind < 0.4:
        middle = SMALLEST * 4 ** rng.random()
        most = min(CROWD, 3 + int((side / middle) ** 2 / 2))
        sizes = list(middle * rng.uniform(0.8, 1.25, int(rng.integers(2, most))))
    else:
        sizes = list(SMALLEST * (side / SMALLEST) ** rng.random(rng.integers(0, 7)))
    return [round(size) for size in sizes]


def lit(photo: Image, rng: np.random.Generator) -> Image:
    """Mirrored or not, in another light."""
    if rng.random() < 0.5:
        photo = photo[:, ::-1]
    gain = rng.uniform(0.6, 1.2) * rng.uniform(0.9, 1.1, 3)
    return np.clip(photo * np.float32(gain / 255) + np.float32(rng.uniform(-0.1, 0.15)), 0, 1)


def placed(length: int, size: int, centre: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[2,3]: from pixels of a square of `length` to those of a scene, in which it is `size` long: upright as a rule."""
    angle = radians(rng.normal(0, 12) if rng.random() < 0.85 else rng.uniform(-180, 180))
    scale = size / length * rng.uniform(0.92, 1.08, 2)
    turn = np.array([[cos(angle), -sin(angle)], [sin(angle), cos(angle)]]) * scale
    return np.column_stack([turn, centre - turn @ np.full(2, (length - 1) / 2)])


def cut(length: int, rng: np.random.Generator) -> Image:
    """[length,length]: what is seen of a photograph: all of it, a part, or the head, with a hard edge or a soft one."""
    mask: Image = np.zeros((length, length), np.float32)
    kind = rng.random()
    if kind < 0.35:
        mask[:] = 1
    elif kind < 0.5:
        x, y = rng.uniform(0, 0.3, 2) * length
        mask[int(y) : int(rng.uniform(0.7, 1) * length), int(x) : int(rng.uniform(0.7, 1) * length)] = 1
    else:
        axes = rng.uniform((0.3, 0.38), (0.48, 0.52)) * length
        cv2.ellipse(mask, (length // 2, length // 2), (int(axes[0]), int(axes[1])), 0, 0, 360, 1.0, -1)
        if kind > 0.7:
            mask = cv2.blur(mask, (1 + length // 12,) * 2, borderType=cv2.BORDER_REPLICATE)
    return mask


def paste(scene: Image, photo: Image, mask: Image, matrix: np.ndarray) -> None:
    """Draw what `mask` shows of `photo` into `scene`."""
    length, side = len(photo), len(scene)
    corners = np.array([[0, 0, 1], [length, 0, 1], [0, length, 1], [length, length, 1]]) @ matrix.T
    x0, y0 = (max(0, int(value)) for value in corners.min(0))
    x1, y1 = (min(side, ceil(value) + 1) for value in corners.max(0))
    if x0 >= x1 or y0 >= y1:
        return
    inside = matrix - np.array([[0, 0, x0], [0, 0, y0]])
    part = scene[y0:y1, x0:x1]
    photo = cv2.warpAffine(photo, inside, (x1 - x0, y1 - y0), borderMode=cv2.BORDER_REPLICATE)
    mask = cv2.warpAffine(mask, inside, (x1 - x0, y1 - y0))[..., None]
    part += mask * (photo - part)


def cover(scene: Image, centre: np.ndarray, size: int, rng: np.random.Generator) -> None:
    """Something before a face."""
    x, y = (int(value) for value in centre + rng.uniform(-0.3, 0.3, 2) * size)
    colour = [float(value) for value in rng.random(3)]
    reach = 1 + int(rng.uniform(0.05, 0.2) * size)
    if rng.random() < 0.5:
        cv2.ellipse(scene, (x, y), (reach, 1 + reach // 2), rng.uniform(0, 180), 0, 360, colour, -1, cv2.LINE_AA)
    else:
        dx, dy = (int(value) for value in rng.normal(0, 0.5, 2) * size)
        cv2.line(scene, (x - dx, y - dy), (x + dx, y + dy), colour, 1 + reach // 4, cv2.LINE_AA)


def background(draw: Draw, side: int, rng: np.random.Generator) -> Image:
    """Colours that run into each other, texture, a piece of a photograph, or many pieces side by side; shapes on it."""
    kind = rng.random()
    scene: Image
    if kind < 0.25:
        coarse = rng.random((*rng.integers(2, 6, 2), 3), np.float32)
        scene = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_LINEAR)
    elif kind < 0.4:
        grain = rng.random((*rng.integers(8, side // 2, 2), 3), np.float32)
        scene = cv2.resize(grain, (side, side), interpolation=cv2.INTER_CUBIC)
        scene = rng.random(3, np.float32) + np.float32(rng.uniform(0.05, 0.7)) * (scene - 0.5)
    elif kind < 0.6:
        scene = cv2.resize(piece(draw(), rng), (side, side), interpolation=cv2.INTER_LINEAR)
    else:
        scene = np.empty((side, side, 3), np.float32)
        edges = np.linspace(0, side, int(rng.integers(3, 12))).astype(int)
        for (y0, y1), (x0, x1) in itertools.product(itertools.pairwise(edges), repeat=2):
            tile = cv2.resize(piece(draw(), rng), (int(x1 - x0), int(y1 - y0)), interpolation=cv2.INTER_AREA)
            scene[y0:y1, x0:x1] = tile
    for _ in range(rng.integers(0, 12) if rng.random() < 0.4 else 0):
        cover(scene, rng.uniform(0, side, 2), int(side * rng.uniform(0.1, 1.5)), rng)
    return scene.clip(0, 1)


def piece(photo: Image, rng: np.random.Generator) -> Image:
    """A random rectangle of a photograph, turned by quarters."""
    length = len(photo)
    height, width = rng.integers(length // 10, length // 2, 2)
    y, x = rng.integers(0, length - height), rng.integers(0, length - width)
    return lit(np.rot90(photo[y : y + height, x : x + width], int(rng.integers(4))), rng)


def taken(scene: Image, rng: np.random.Generator) -> Image:
    """What a plain camera makes of a scene: a little blur and noise, JPEG, sometimes no colour."""
    if rng.random() < 0.2:
        scene = np.repeat(cv2.cvtColor(scene, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    if rng.random() < 0.4:
        scene = cv2.GaussianBlur(scene, (0, 0), rng.uniform(0.3, 1.5))
    if rng.random() < 0.4:
        scene = scene + np.float32(rng.uniform(0, 0.06)) * rng.standard_normal(scene.shape, np.float32)
    return through_jpeg(scene, int(rng.integers(35, 96))) if rng.random() < 0.5 else scene.clip(0, 1)

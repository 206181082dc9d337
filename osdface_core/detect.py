"""Face detection through facexlib's RetinaFace."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import ceil, floor, hypot
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .align import FFHQ_TEMPLATE_512
from .errors import ImageError
from .faces import Box, Face, Faces, Point, check_image, number_in_reading_order
from .turned import TURNED, is_upright, turned_faces

CROP_TO_BOX, BOX_BELOW_CENTRE = 1.41, 0.05
"""Median proportions of RetinaFace's boxes on photographs: a crop's side by its box's longer side, and how far below
the crop's centre its box has its own, as a share of the crop's side."""

SHORT_SIDE = (640, 1280)
"""Pixels: the range that an image's short side is brought to for a look."""

GLANCES = 32
"""How many small images go through the network together."""

CLOSE_UP, SAME = 0.5, 0.7
"""A face is close up if it is longer than this share of the image's longer side. It was seen whole if a second look
finds it again in the same place: the intersection over union of the two boxes."""

OVERLAP = 0.4
"""Of two boxes that overlap by more than this (intersection over union) the lower score is dropped."""


class RetinaFace(nn.Module):
    """facexlib's RetinaFace, fed with image batches, on any device.

    notice: what a user has to be told about its weights, empty for facexlib's own.
    """

    def __init__(self, network: Any, notice: str = ""):
        super().__init__()
        self.network, self.notice = network, notice

    def detect(
        self,
        image: Tensor,
        *,
        threshold: float = 0.8,
        short_side: tuple[int, int] = SHORT_SIDE,
        any_rotation: bool = False,
    ) -> Faces:
        """Find the faces in `image` [B,3,H,W], 0..1.

        threshold: the lowest score to accept, 0..1.
        short_side: detection runs on a copy whose short side lies in this range of pixels; small photos are enlarged,
            which finds faces of 16 px, and large ones reduced, which finds faces that fill them.
        any_rotation: look for faces on their side and upside down too, in four times the time. Without this such a face
            may be found with the landmarks of an upright one; it is left out then.
        """
        check_image(image)
        frames, _, height, width = image.shape
        faces: list[Face] = []
        turned: list[Face] = []
        for frame in range(frames):
            look = self.look_around if any_rotation else self.look
            found = look(image[frame], threshold, short_side)
            own = number_in_reading_order(replace(face, frame=frame) for face in found)
            faces += own
            if not any_rotation:
                turned += turned_faces(own, image[frame], self.glance)
        whole = Faces(tuple(faces), frames, height, width)
        return whole.keep((face for face in faces if face not in turned), TURNED)

    def glance(self, images: Tensor) -> list[list[Face]]:
        """The faces in each of many small images [N,3,S,S], together."""
        found: list[list[Face]] = []
        for part in images.split(GLANCES):
            bgr = part.flip(1).permute(0, 2, 3, 1).float().mul(255).to(self.network.mean_tensor.device)
            with self.awake() as network:
                for boxes, landmarks in zip(*network.batched_detect_faces(bgr, 0.3, OVERLAP), strict=True):
                    rows = np.hstack([boxes.reshape(-1, 5), landmarks.reshape(-1, 10)])
                    found.append([to_face(row) for row in rows])
        return found

    def look_around(self, image: Tensor, threshold: float, short_side: tuple[int, int]) -> list[Face]:
        """The faces in an image [3,H,W] as it is and turned three times, each in the position that suits it best."""
        height, width = image.shape[1:]
        seen: list[tuple[bool, float, Face]] = []
        for turns in range(4):
            for face in self.look(torch.rot90(image, turns, (1, 2)), threshold, short_side):
                seen.append((is_upright(face), face.score, turned_back(face, turns, height, width)))
        kept: list[Face] = []
        for _, _, face in sorted(seen, key=lambda entry: entry[:2], reverse=True):
            if all(shared_area(face.box, other.box, of_smaller=True) < 0.5 for other in kept):
                kept.append(face)
        return kept

    def look(self, image: Tensor, threshold: float, short_side: tuple[int, int]) -> list[Face]:
        """The faces in an image [3,H,W], those included that are too close up to be seen whole.

        Of a face that fills the image, RetinaFace finds nothing or only parts. So where it finds nothing, or something
        that large, it gets a second look with a margin around the image.
        """
        seen = self.look_once(image, threshold, short_side)
        side = max(image.shape[1:])
        doubtful = [face for face in seen if face.size > CLOSE_UP * side]
        if seen and not doubtful:
            return seen
        margin = side // 2
        in_margin = self.look_once(F.pad(image, (margin,) * 4, value=0.5), threshold, short_side)
        close = [moved(face, -margin, -margin) for face in in_margin if face.size > CLOSE_UP * side]
        for n, face in enumerate(close):
            same = [other for other in doubtful if shared_area(face.box, other.box) > SAME]
            close[n] = same[0] if same else face
        return [face for face in seen if face not in doubtful] + (close or doubtful)

    def look_once(self, image: Tensor, threshold: float, short_side: tuple[int, int]) -> list[Face]:
        """The faces that facexlib's RetinaFace finds in an image [3,H,W]."""
        height, width = image.shape[1:]
        scale = min(max(min(height, width), short_side[0]), short_side[1]) / min(height, width)
        size = (round(width * scale), round(height * scale))
        to_source = np.array([width / size[0], height / size[1]], np.float32)
        rows = self.detect_rows(resize(to_bgr(image), size), threshold)
        rows[:, :4] *= np.tile(to_source, 2)
        rows[:, 5:] *= np.tile(to_source, 5)
        return [to_face(row) for row in rows]

    def look_inside(self, image: Tensor, boxes: Sequence[Sequence[Box]], *, any_rotation: bool = False) -> Faces:
        """Faces for boxes that something else found: `boxes` of every frame, in reading order as given.

        Each box is looked into for the landmarks: those of the face nearest to its centre, for a wide box shows
        neighbours too. Where the detector sees no face there, those of an upright face that fills the box are taken,
        with score 0. Raises ImageError for a box that does not lie in the image.
        """
        check_image(image)
        frames, _, height, width = image.shape
        faces = []
        for frame, own in enumerate(boxes):
            for index, (left, top, right, bottom) in enumerate(own):
                if not (max(left, 0) < min(right, width) and max(top, 0) < min(bottom, height)):  # NaN does not, either
                    raise ImageError(f"Box {index} of frame {frame} does not lie in the image ({width}x{height}).")
                margin = 0.5 * max(right - left, bottom - top)
                x0, y0 = floor(max(left - margin, 0)), floor(max(top - margin, 0))
                x1, y1 = ceil(min(right + margin, width)), ceil(min(bottom + margin, height))
                box = (float(left), float(top), float(right), float(bottom))
                inside = image[frame : frame + 1, :, y0:y1, x0:x1]
                found = (self.look_around if any_rotation else self.look)(inside[0], 0.3, SHORT_SIDE)
                seen = [face for face in (moved(face, x0, y0) for face in found) if shared_area(face.box, box) > 0]
                best = min(seen, key=lambda face: apart(face.box, box), default=None) or upright_face(box)
                faces.append(replace(best, frame=frame, index=index, box=box))
        return Faces(tuple(faces), frames, height, width)

    def detect_rows(self, bgr: np.ndarray, threshold: float) -> np.ndarray:
        """One image [H,W,3] BGR, 0..255 -> rows of box (4), score, landmarks (10), in its pixels."""
        with self.awake() as network:
            rows: np.ndarray = network.detect_faces(bgr, conf_threshold=threshold, nms_threshold=OVERLAP)
        return rows

    @contextmanager
    def awake(self) -> Iterator[Any]:
        """The network, told where it is; what it keeps on the device is let go of afterwards."""
        self.network.device = self.network.mean_tensor.device
        try:
            with torch.no_grad():
                yield self.network
        finally:
            self.network.scale = self.network.scale1 = None


def moved(face: Face, x: float, y: float) -> Face:
    left, top, right, bottom = face.box
    landmarks = tuple((px + x, py + y) for px, py in face.landmarks)
    return replace(face, box=(left + x, top + y, right + x, bottom + y), landmarks=landmarks)


def turned_back(face: Face, turns: int, height: int, width: int) -> Face:
    """A face of an image that was turned by so many quarters to the left, in pixels of the image [height,width]."""

    def back(point: Point) -> Point:
        x, y = point
        return ((x, y), (width - 1 - y, x), (width - 1 - x, height - 1 - y), (y, height - 1 - x))[turns]

    corners = back(face.box[:2]), back(face.box[2:])
    (left, right), (top, bottom) = (sorted(values) for values in zip(*corners, strict=True))
    return replace(face, box=(left, top, right, bottom), landmarks=tuple(back(point) for point in face.landmarks))


def shared_area(a: Box, b: Box, of_smaller: bool = False) -> float:
    """Intersection over union of two boxes, or over the smaller one."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    whole = min(areas) if of_smaller else sum(areas) - both
    return both / whole if whole > 0 else 0.0


def apart(a: Box, b: Box) -> float:
    """How far the centres of two boxes are from each other."""
    return hypot(a[0] + a[2] - b[0] - b[2], a[1] + a[3] - b[1] - b[3]) / 2


def upright_face(box: Box) -> Face:
    """A face without a tilt whose box this is, in the proportions that RetinaFace's boxes have to FFHQ crops."""
    side = CROP_TO_BOX * max(box[2] - box[0], box[3] - box[1])
    centre = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2 - BOX_BELOW_CENTRE * side])
    landmarks = centre + (FFHQ_TEMPLATE_512 - 255.5) / 512 * side
    return Face(0, 0, box, 0.0, tuple((float(x), float(y)) for x, y in landmarks))


def to_bgr(image: Tensor) -> np.ndarray:
    """[3,H,W] RGB, 0..1 -> [H,W,3] BGR, 0..255, unrounded."""
    return np.ascontiguousarray(image.flip(0).permute(1, 2, 0).float().cpu().numpy() * 255)


def resize(bgr: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """To `size` (width, height): averaged when reduced, Lanczos when enlarged."""
    height, width = bgr.shape[:2]
    if size == (width, height):
        return bgr
    method = cv2.INTER_AREA if size[0] < width else cv2.INTER_LANCZOS4
    return cv2.resize(bgr, size, interpolation=method).clip(0, 255)


def to_face(row: np.ndarray) -> Face:
    left, top, right, bottom, score = (float(value) for value in row[:5])
    landmarks = tuple((float(x), float(y)) for x, y in row[5:].reshape(5, 2))
    return Face(0, 0, (left, top, right, bottom), score, landmarks)

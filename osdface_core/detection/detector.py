"""Face detection with RetinaFace, on batches of images."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from math import ceil, floor, hypot, sqrt

import torch
from torch import Tensor, nn

from ..batches import in_batches
from ..errors import ImageError, OptionError
from ..faces import MOST_FACES, Box, Face, FaceReport, Faces, check_image
from ..heap import give_back
from ..networks.retinaface import RetinaFaceNet, decode
from ..options import Detect
from .boxes import faces_of_boxes
from .nms import suppress
from .orientation import TURNED, is_upright, turned_faces
from .reading_order import number_in_reading_order
from .views import Rectangle, View, view_of

SHORT_SIDE = (640, 1280)
"""Pixels: the range that an image's short side is brought to for a look."""

PIXELS, LONG_SIDE = 2**23, 2**13
"""What goes through the network together has at most so many pixels, and an image's long side at most so many of them:
a larger or longer image is reduced, several go one after the other. A ResNet-50 takes about 2 GB for it."""

PIXELS_ON_CPU = 2**21
"""Likewise for several images on a CPU: more of them take no less time there, and more memory."""

CLOSE_UP, SAME = 0.5, 0.7
"""A face is close up if it is longer than this share of the image's longer side. It was seen whole if a second look
finds it again in the same place: the intersection over union of the two boxes."""

OVERLAP = 0.4
"""Of two boxes that overlap by more than this (intersection over union) the lower score is dropped."""

CANDIDATES, MOST_CHECKED = 10_000, 100
"""Of every image: how many boxes are looked at, and faces looked at in other positions. They are those with the highest
scores."""
NO_FACE = "there is no face in its box"
TOO_MANY = f"there are more than {MOST_FACES} faces in its image, and they are surer (raise the threshold)"


class RetinaFace(nn.Module):
    """A face detector: RetinaFace, fed with image batches, on any device. A call leaves nothing behind in it.

    notice: what a user has to be told about its weights, empty for facexlib's own.
    """

    def __init__(self, network: RetinaFaceNet, notice: str = ""):
        super().__init__()
        self.network, self.notice = network, notice

    def detect(
        self,
        image: Tensor,
        *,
        threshold: float = Detect.threshold,
        short_side: tuple[int, int] = SHORT_SIDE,
        any_rotation: bool = False,
    ) -> Faces:
        """Find the faces in `image` [B,3,H,W], 0..1: the 1000 surest of every image. The others are left out.

        threshold: the lowest score to accept, 0..1.
        short_side: detection runs on a copy whose short side lies in this range of pixels; small photos are enlarged,
            which finds faces of 16 px, and large ones reduced, which finds faces that fill them. It has at most 8
            megapixels, and 8192 on its long side.
        any_rotation: look for faces on their side and upside down too, in four times the time. Without this such a face
            may be found with the landmarks of an upright one; it is left out then, if it is among the 100 surest.
        Raises OptionError for a threshold or sides that cannot be, and ImageError where `image` is no such batch.
        """
        check_image(image)
        Detect(threshold).validate()
        low, high = short_side
        if not 1 <= low <= high:
            raise OptionError("short_side", short_side, "it must be two numbers of 1 or more, the smaller first")
        frames, _, height, width = image.shape
        whole = [(frame, (0, 0, width, height)) for frame in range(frames)]
        found = self.detect_places(image, whole, threshold, short_side, any_rotation)
        faces: list[Face] = []
        surest: list[Face] = []
        reasons: dict[Face, str] = {}
        for frame, seen in enumerate(found):
            own = number_in_reading_order(replace(face, frame=frame) for face in seen)
            best_first = sorted(own, key=lambda face: face.score, reverse=True)
            faces += own
            surest += best_first[:MOST_CHECKED]
            reasons |= dict.fromkeys(best_first[MOST_FACES:], TOO_MANY)
        if not any_rotation:
            reasons |= dict.fromkeys(turned_faces(surest, image, self.detect_views), TURNED)
        skipped = tuple(FaceReport(face, False, reasons[face]) for face in faces if face in reasons)
        return Faces(tuple(face for face in faces if face not in reasons), frames, height, width, skipped)

    def look_inside(self, image: Tensor, boxes: Sequence[Sequence[Box]], *, any_rotation: bool = False) -> Faces:
        """Faces for boxes that something else found: `boxes` of every frame, in reading order as given.

        Each box is looked into for the landmarks: those of the face nearest to its centre, for a wide box shows
        neighbours too. Boxes in which the detector sees no face are left out. A face lies in a box if the centre of
        either lies in the other. Raises ImageError for a box that does not lie in the image.
        """
        check_image(image)
        height, width = image.shape[2:]
        given = faces_of_boxes(boxes, height, width)
        if given.frames != len(image):
            raise ImageError(f"There are boxes for {given.frames} images, but the batch has {len(image)}.")
        places = [(face.frame, around(face.box, height, width)) for face in given]
        found = self.detect_places(image, places, 0.3, SHORT_SIDE, any_rotation)
        faces: list[Face] = []
        skipped: list[FaceReport] = []
        for face, own in zip(given, found, strict=True):
            seen = [other for other in own if has_centre(face.box, other.box) or has_centre(other.box, face.box)]
            if seen:
                gaps = [apart(other.box, face.box) for other in seen]
                best = seen[gaps.index(min(gaps))]
                faces.append(replace(best, frame=face.frame, index=face.index, box=face.box))
            else:
                skipped.append(FaceReport(face, False, NO_FACE))
        return replace(given, faces=tuple(faces), skipped=tuple(skipped))

    def detect_places(
        self,
        image: Tensor,
        places: Sequence[tuple[int, Rectangle]],
        threshold: float,
        short_side: tuple[int, int],
        any_rotation: bool,
    ) -> list[list[Face]]:
        """The faces in each of some places (frame, rectangle) of a batch, in whatever position suits each best."""
        positions = range(4) if any_rotation else range(1)
        views = [
            view_of(frame, part, part, fitted(part[3] - part[1], part[2] - part[0], short_side), turns)
            for frame, part in places
            for turns in positions
        ]
        found = self.detect_twice(image, views, threshold, short_side)
        return [
            best_positions(found[start : start + 4]) if any_rotation else found[start]
            for start in range(0, len(views), len(positions))
        ]

    def detect_twice(
        self, image: Tensor, views: Sequence[View], threshold: float, short_side: tuple[int, int]
    ) -> list[list[Face]]:
        """The faces in views of whole images, in their pixels, those included that are too close up to be seen whole.

        Of a face that fills an image, RetinaFace finds nothing or only parts. So where it finds nothing, or something
        that large, it gets a second look with a margin around the image.
        """
        seen = [
            [view.back(face) for face in own]
            for view, own in zip(views, self.detect_views(image, views, threshold), strict=True)
        ]
        large = [
            [face for face in own if face.size > CLOSE_UP * view.longer_side]
            for view, own in zip(views, seen, strict=True)
        ]
        again = [n for n in range(len(views)) if large[n] or not seen[n]]
        wider = [with_margin(views[n], short_side) for n in again]
        for n, view, own in zip(again, wider, self.detect_views(image, wider, threshold), strict=True):
            close = [face for face in map(view.back, own) if face.size > CLOSE_UP * view.longer_side]
            for k, face in enumerate(close):
                same = [other for other in large[n] if shared_area(face.box, other.box) > SAME]
                close[k] = same[0] if same else face
            seen[n] = [face for face in seen[n] if face not in large[n]] + (close or large[n])
        return seen

    def detect_views(self, image: Tensor, views: Sequence[View], threshold: float) -> list[list[Face]]:
        """The faces that the network finds in views of a batch, in the views' pixels. Views of one size go together."""
        found: list[list[Face]] = [[] for _ in views]
        same_size = defaultdict(list)
        for number, view in enumerate(views):
            same_size[view.turned_size].append(number)
        for (height, width), numbers in same_size.items():

            def work(part: slice, numbers: list[int] = numbers) -> list[list[Face]]:
                return faces_of(self.candidates(image, [views[n] for n in numbers[part]]), threshold)

            pixels = PIXELS_ON_CPU if self.network.mean.device.type == "cpu" else PIXELS
            at_once = max(pixels // (padded(height) * padded(width)), 1)
            own = (faces for batch in in_batches(len(numbers), at_once, work) for faces in batch)
            for number, faces in zip(numbers, own, strict=True):
                found[number] = faces
        give_back()
        return found

    @torch.no_grad()
    def candidates(self, image: Tensor, views: Sequence[View]) -> Tensor:
        """What may be faces in N views of one size, best first, on the CPU: rows [N,K,15] of box, landmarks, score."""
        size = height, width = views[0].turned_size
        mean = self.network.mean
        canvas = torch.zeros(len(views), 3, padded(height), padded(width), dtype=mean.dtype, device=mean.device)
        if mean.device.type in ("cpu", "cuda"):
            canvas = canvas.contiguous(memory_format=torch.channels_last)
        for own, view in zip(canvas, views, strict=True):
            own[:, :height, :width] = self.network.prepare(view.draw(image, mean.device)[None])[0]
        boxes, classes, landmarks = (values.float() for values in self.network(canvas, size))
        scores, best = classes[..., 1].topk(min(CANDIDATES, classes.shape[1]))
        return torch.cat([decode(boxes, landmarks, best, size), scores[..., None]], -1).cpu()


def fitted(height: int, width: int, short_side: tuple[int, int]) -> tuple[int, int]:
    """The height and width at which to look at an image."""
    scale = min(max(min(height, width), short_side[0]), short_side[1]) / min(height, width)
    scale = min(scale, LONG_SIDE / max(height, width), sqrt(PIXELS / (height * width)))
    return max(round(height * scale), 1), max(round(width * scale), 1)


def padded(side: int) -> int:
    """The side of the canvas for that of an image: one of few, for PyTorch keeps something for each of them."""
    step = max(2 ** ((side - 1).bit_length() - 4), 32)
    return -(-side // step) * step


def with_margin(view: View, short_side: tuple[int, int]) -> View:
    """A view of the same with half its longer side around it."""
    left, top, right, bottom = view.part
    margin = view.longer_side // 2
    window = (left - margin, top - margin, right + margin, bottom + margin)
    size = fitted(window[3] - window[1], window[2] - window[0], short_side)
    return view_of(view.frame, window, view.part, size, view.turns)


def faces_of(rows: Tensor, threshold: float) -> list[list[Face]]:
    """The faces among candidates [N,K,15], for each of N views."""
    passing = (rows[..., 14] > threshold) & rows.isfinite().all(-1)
    last = int((passing * torch.arange(1, passing.shape[1] + 1)).max())
    kept = suppress(rows[:, :last, :4], passing[:, :last], OVERLAP, most=MOST_FACES + 1)
    return [[to_face(row) for row in own[:last][keep].tolist()] for own, keep in zip(rows, kept, strict=True)]


def to_face(row: Sequence[float]) -> Face:
    landmarks = tuple(zip(row[4:14:2], row[5:14:2], strict=True))
    return Face(0, 0, (row[0], row[1], row[2], row[3]), row[14], landmarks)


def best_positions(found: Sequence[Sequence[Face]]) -> list[Face]:
    """The faces found in an image as it is and turned by one to three quarters, each once, preferably upright."""
    seen = [(is_upright(face, turns), face.score, face) for turns, own in enumerate(found) for face in own]
    faces = [face for _, _, face in sorted(seen, key=lambda entry: entry[:2], reverse=True)]
    boxes = torch.tensor([face.box for face in faces]).reshape(1, -1, 4)
    kept = suppress(boxes, torch.ones(1, len(faces), dtype=torch.bool), 0.5, of_smaller=True)
    return [face for face, keep in zip(faces, kept[0].tolist(), strict=True) if keep]


def shared_area(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0) * max(height, 0)
    whole = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)) - both
    return both / whole if whole > 0 else 0.0


def around(box: Box, height: int, width: int) -> Rectangle:
    """A box with half its longer side on every side of it, as far as the image reaches."""
    left, top, right, bottom = box
    margin = 0.5 * max(right - left, bottom - top)
    x0, y0 = floor(max(left - margin, 0)), floor(max(top - margin, 0))
    return x0, y0, ceil(min(right + margin, width)), ceil(min(bottom + margin, height))


def has_centre(box: Box, other: Box) -> bool:
    """Whether the centre of another box lies in a box."""
    x, y = (other[0] + other[2]) / 2, (other[1] + other[3]) / 2
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]


def apart(a: Box, b: Box) -> float:
    """How far the centres of two boxes are from each other."""
    return hypot(a[0] + a[2] - b[0] - b[2], a[1] + a[3] - b[1] - b[3]) / 2

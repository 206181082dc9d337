"""Faces found in a batch of images, and their aligned crops: the values that travel between the stages.

All values are immutable. Boxes and landmarks are in pixels of the source image, (0, 0) being the centre of the
top-left pixel.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from math import isfinite

import torch
from torch import Tensor

from .errors import ImageError
from .serialization import Json, number, reading, tensor_from_json, tensor_to_json, whole

Point = tuple[float, float]
Box = tuple[float, float, float, float]


MOST_FACES = 1000
"""How many faces of one image there are at most."""

LARGEST = 10_000_000
"""Sides of images and places in them, in pixels, and how many frames and faces there are, do not go beyond this."""

CROP_SIDES = (8, 8192)
"""Pixels that a crop's side may have."""

CROP_IN_PHOTO = (0.5, 64)
"""What a crop may show at least, in pixels of its photo a side, and at most, in sides of its photo."""


@dataclass(frozen=True)
class Face:
    """One face in one frame."""

    frame: int
    """Which image of the batch, from 0."""
    index: int
    """Its number within the frame, in reading order, from 0: what the user sees and types."""
    box: Box
    """Left, top, right, bottom."""
    score: float
    """The detector's confidence, 0..1."""
    landmarks: tuple[Point, ...]
    """Left eye, right eye, nose, left and right corner of the mouth, as the viewer sees them."""

    @property
    def width(self) -> float:
        return self.box[2] - self.box[0]

    @property
    def height(self) -> float:
        return self.box[3] - self.box[1]

    @property
    def size(self) -> float:
        """The longer side of the box."""
        return max(self.width, self.height)

    @property
    def is_finite(self) -> bool:
        """Whether box, score and landmarks are all numbers."""
        return all(isfinite(value) for value in (*self.box, self.score, *chain(*self.landmarks)))

    def to_json(self) -> Json:
        return {
            "frame": self.frame,
            "index": self.index,
            "box": list(self.box),
            "score": self.score,
            "landmarks": [list(point) for point in self.landmarks],
        }

    @classmethod
    def from_json(cls, data: Json) -> "Face":
        """Raises ImageError where `data` does not describe a face, or one beyond what `LARGEST` allows."""
        expected = "frame, index, box [4], score and landmarks [5][2], as `osdface detect --json` writes them"
        with reading("a face", expected):
            left, top, right, bottom = (number(value) for value in data["box"])
            landmarks = tuple((number(x), number(y)) for x, y in data["landmarks"])
            frame, index, score = whole(data["frame"]), whole(data["index"]), number(data["score"])
        face = cls(frame, index, (left, top, right, bottom), score, landmarks)
        check_range(0, LARGEST, frame=frame, index=index)
        check_range(0, 1, score=score)
        for value in (*face.box, *chain(*landmarks)):
            check_range(-LARGEST, LARGEST, coordinate=value)
        if len(landmarks) != 5:
            raise ImageError(f"Face {index} has {len(landmarks)} landmarks; five are needed.")
        if left > right or top > bottom:
            raise ImageError(f"The box {face.box} of face {index} ends before it begins: left, top, right, bottom.")
        return face


@dataclass(frozen=True)
class FaceReport:
    """What became of one face."""

    face: Face
    restored: bool
    reason: str = ""
    """Why it was left as it was; empty for a restored face."""
    identity: float | None = None
    """Cosine similarity of the face before and after, where it was measured."""

    def to_json(self) -> Json:
        size = [self.face.width, self.face.height]
        fate = {"restored": self.restored, "reason": self.reason, "identity": self.identity}
        return {**self.face.to_json(), "size": size, **fate}

    @classmethod
    def from_json(cls, data: Json) -> "FaceReport":
        """Raises ImageError where `data` does not describe what became of a face."""
        face = Face.from_json(data)
        with reading("the report of a face", "a face with restored, reason and identity"):
            identity = data.get("identity")
            similarity = None if identity is None else number(identity)
            return cls(face, bool(data["restored"]), str(data["reason"]), similarity)


@dataclass(frozen=True)
class Faces:
    """The faces of a batch of images that share one size."""

    faces: tuple[Face, ...]
    frames: int
    """How many images the batch has, those without a face included."""
    height: int
    width: int
    skipped: tuple[FaceReport, ...] = field(default=(), compare=False)
    """Faces that were found, but are not to be restored, and why: for the report at the end."""

    def __len__(self) -> int:
        return len(self.faces)

    def __iter__(self) -> Iterator[Face]:
        return iter(self.faces)

    def keep(self, faces: Iterable[Face], reason: str = "") -> "Faces":
        """The same batch with these faces only. Where there is a reason, the others are left out for it."""
        kept = tuple(faces)
        chosen = set(kept)
        gone = [FaceReport(face, False, reason) for face in self if face not in chosen] if reason else []
        return replace(self, faces=kept, skipped=(*self.skipped, *gone))

    def summary(self) -> str:
        """How many faces there are, and how many are left out for which reason, for people."""
        reasons = Counter(entry.reason for entry in self.skipped)
        return "\n".join([so_many(len(self)), *(f"{count} left: {reason}" for reason, count in reasons.items())])

    def between(self, first: int, end: int) -> "Faces":
        """The faces of the frames from `first` to before `end`, as a batch of its own: frames count from 0 again."""

        def moved(face: Face) -> Face:
            return replace(face, frame=face.frame - first)

        faces, gone = self.by_frame
        own = tuple(moved(face) for frame in range(first, end) for face in faces.get(frame, ()))
        entries = (entry for frame in range(first, end) for entry in gone.get(frame, ()))
        skipped = tuple(replace(entry, face=moved(entry.face)) for entry in entries)
        return replace(self, faces=own, frames=end - first, skipped=skipped)

    @cached_property
    def by_frame(self) -> tuple[dict[int, list[Face]], dict[int, list[FaceReport]]]:
        """The faces of each frame that has some, and those that are not to be restored."""
        faces: defaultdict[int, list[Face]] = defaultdict(list)
        skipped: defaultdict[int, list[FaceReport]] = defaultdict(list)
        for face in self:
            faces[face.frame].append(face)
        for entry in self.skipped:
            skipped[entry.face.frame].append(entry)
        return dict(faces), dict(skipped)

    def to_bounding_boxes(self) -> list[list[Json]]:
        """ComfyUI's BOUNDING_BOX: for every frame a list of boxes, labelled with the faces' numbers."""
        frames: list[list[Json]] = [[] for _ in range(self.frames)]
        for face in self:
            left, top = round(face.box[0]), round(face.box[1])
            size = {"width": round(face.box[2]) - left, "height": round(face.box[3]) - top}
            frames[face.frame].append({"x": left, "y": top, **size, "label": str(face.index), "score": face.score})
        return frames

    def to_json(self) -> Json:
        return {
            "frames": self.frames,
            "height": self.height,
            "width": self.width,
            "faces": [face.to_json() for face in self.faces],
            "skipped": [entry.to_json() for entry in self.skipped],
        }

    @classmethod
    def from_json(cls, data: Json) -> "Faces":
        """Raises ImageError where `data` does not describe the faces of a batch, or a frame has over `MOST_FACES`."""
        expected = "frames, height, width and faces, as `osdface detect --json` writes them"
        with reading("the faces of an image", expected):
            size = {name: whole(data[name]) for name in ("frames", "height", "width")}
            check_range(1, LARGEST, **size)
            faces = tuple(Face.from_json(face) for face in data["faces"])
            skipped = tuple(FaceReport.from_json(entry) for entry in data.get("skipped", ()))
        batch = cls(faces, **size, skipped=skipped)
        for frame, count in Counter(face.frame for face in faces).items():
            if count > MOST_FACES:
                raise ImageError(f"There are more than {MOST_FACES} faces in frame {frame}. Leave some out.")
        numbers: set[tuple[int, int]] = set()
        for face in (*batch, *(entry.face for entry in batch.skipped)):
            if not 0 <= face.frame < batch.frames:
                raise ImageError(f"Face {face.index} is in frame {face.frame}, but there are {batch.frames} frame(s).")
            if (face.frame, face.index) in numbers:
                raise ImageError(f"Two faces of frame {face.frame} have the number {face.index}. Give each its own.")
            numbers.add((face.frame, face.index))
        return batch


@dataclass(frozen=True, eq=False)
class FaceCrops:
    """Aligned crops of faces, before or after restoration."""

    images: Tensor
    """[N,3,S,S] float32, 0..1, sRGB."""
    faces: Faces
    """The N faces, in the order of `images`, with the size of the images they came from."""
    to_crop: Tensor
    """[N,2,3] float64 on the CPU: the similarity transform from source pixels to crop pixels."""
    identity: tuple[float, ...] | None = None
    """How alike each face is to what it was before restoration, where that was measured (`identity.check_identity`)."""

    def __post_init__(self) -> None:
        count = len(self.faces)
        if self.images.ndim != 4 or self.images.shape[:2] != (count, 3) or self.images.shape[2] != self.images.shape[3]:
            raise ValueError(f"images must be [{count},3,S,S] for {count} faces, not {list(self.images.shape)}")
        if not self.images.is_floating_point():
            raise ValueError(f"images must be floating point, 0..1, not {self.images.dtype}")
        if self.to_crop.shape != (count, 2, 3):
            raise ValueError(f"to_crop must be [{count},2,3], not {list(self.to_crop.shape)}")
        if self.identity is not None and len(self.identity) != count:
            raise ValueError(f"there are {len(self.identity)} identities for {count} faces")

    def __len__(self) -> int:
        return len(self.faces)

    @property
    def size(self) -> int:
        """S, the side of a crop in pixels."""
        return self.images.shape[-1]

    def take(self, numbers: Iterable[int]) -> "FaceCrops":
        """Some of the crops, by their place."""
        chosen = list(numbers)
        faces = self.faces.keep(self.faces.faces[n] for n in chosen)
        identity = None if self.identity is None else tuple(self.identity[n] for n in chosen)
        return FaceCrops(self.images[chosen], faces, self.to_crop[chosen], identity)

    def without(self, reasons: Mapping[int, str]) -> "FaceCrops":
        """The crops but those at these places, each of which is left out for its reason."""
        gone = [
            FaceReport(self.faces.faces[n], False, reason, None if self.identity is None else self.identity[n])
            for n, reason in reasons.items()
        ]
        kept = self.take(n for n in range(len(self)) if n not in reasons)
        return replace(kept, faces=replace(kept.faces, skipped=(*kept.faces.skipped, *gone)))

    def with_images(self, images: Tensor) -> "FaceCrops":
        """The same faces with other pixels [N,3,S,S], at any size: restored or edited elsewhere.

        Raises ImageError where there is not one square image for every face, or they are not floating point.
        """
        if images.ndim != 4 or images.shape != (len(self), 3, *images.shape[3:] * 2) or not images.is_floating_point():
            raise ImageError(
                f"There are {len(self)} face crops, so {len(self)} square images are needed, not "
                f"{described(images)}. Keep the number, the order and the shape of the crops."
            )
        check_range(*CROP_SIDES, **{"the side of the images": images.shape[-1]})
        scale = images.shape[-1] / self.size
        to_crop = self.to_crop * scale
        to_crop[:, :, 2] += (scale - 1) / 2
        return FaceCrops(images, self.faces, to_crop)

    def to_json(self) -> Json:
        return {
            "images": tensor_to_json(self.images),
            "faces": self.faces.to_json(),
            "to_crop": tensor_to_json(self.to_crop),
            "identity": self.identity,
        }

    @classmethod
    def from_json(cls, data: Json) -> "FaceCrops":
        """Raises ImageError where `data` does not describe crops of faces, or they do not come from their image."""
        with reading("face crops", "images (float32), faces and to_crop (float64), as `to_json` writes them"):
            images, to_crop = tensor_from_json(data["images"]), tensor_from_json(data["to_crop"])
            if (images.dtype, to_crop.dtype) != (torch.float32, torch.float64):
                raise TypeError(f"images in {images.dtype}, to_crop in {to_crop.dtype}")
            identity = data.get("identity")
            similarity = None if identity is None else tuple(number(value) for value in identity)
            crops = cls(images, Faces.from_json(data["faces"]), to_crop, similarity)
        check_range(*CROP_SIDES, **{"the side of the crops": crops.size})
        check_finite(images, "face crop")
        check_origin(crops)
        return crops


def so_many(faces: int) -> str:
    """1 face, 2 faces."""
    return f"{faces} face" if faces == 1 else f"{faces} faces"


def described(images: Tensor) -> str:
    """How many images of which size [N,C,H,W] there are, for people; any other tensor by its shape."""
    if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
        return f"{list(images.shape)} in {images.dtype}"
    return f"{len(images)} of {images.shape[3]}x{images.shape[2]}"


def check_image(image: Tensor) -> None:
    """Raise ImageError unless `image` is a float32 [B,3,H,W] batch with pixels in it."""
    if image.ndim != 4 or image.shape[1] != 3 or image.dtype != torch.float32 or image.numel() == 0:
        raise ImageError(
            f"Expected an image batch [B,3,H,W] in float32, 0..1; got {list(image.shape)} {image.dtype}. "
            "Grey and RGBA images have to be turned into RGB first: `osdface_core.read_photo` does."
        )


def check_faces(image: Tensor, faces: Faces) -> None:
    """Raise ImageError unless these are the faces of images such as `image` [B,3,H,W]."""
    check_image(image)
    frames, _, height, width = image.shape
    if (faces.frames, faces.height, faces.width) != (frames, height, width):
        raise ImageError(
            f"These faces were found in {faces.frames} image(s) of {faces.width}x{faces.height}, but the image given "
            f"is {frames} of {width}x{height}. Detect the faces again on this image."
        )


def check_origin(crops: FaceCrops) -> None:
    """Raise ImageError for a crop whose matrix is not finite, or takes it from next to nothing or far beyond its photo.

    To average next to nothing takes more samples than there is memory for.
    """
    least, most = CROP_IN_PHOTO
    side = crops.size / torch.linalg.det(crops.to_crop[:, :, :2]).abs().sqrt()
    fits = (side >= least) & (side <= most * max(crops.faces.height, crops.faces.width))
    for place in (~(fits & crops.to_crop.flatten(1).isfinite().all(1))).nonzero().flatten().tolist():
        raise ImageError(
            f"Crop {place} does not come from the image ({crops.faces.width}x{crops.faces.height}): its matrix is "
            f"{crops.to_crop[place].tolist()}. Cut the crops again."
        )


def check_finite(values: Tensor, name: str) -> None:
    """Raise ImageError where there are NaN or infinities among the values. `name`: what they are, for people."""
    if values.numel() and not torch.stack(values.aminmax()).isfinite().all():
        raise ImageError(f"The {name} holds NaN or infinite values: the node before it has failed. Look at its result.")


def check_range(low: float, high: float, **values: float) -> None:
    """Raise ImageError for the first value, by its name, that does not lie between `low` and `high`, both allowed."""
    for name, value in values.items():
        if not low <= value <= high:  # NaN does not
            raise ImageError(f"{name} is {value}: it must lie between {low:g} and {high:g}.")


def inverse(matrices: Tensor) -> Tensor:
    """The inverse of affine matrices [...,2,3]."""
    linear = torch.linalg.inv(matrices[..., :2])
    return torch.cat([linear, -linear @ matrices[..., 2:]], dim=-1)

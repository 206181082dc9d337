"""Faces found in a batch of images, and their aligned crops: the values that travel between the stages.

All values are immutable. Boxes and landmarks are in pixels of the source image, (0, 0) being the centre of the
top-left pixel.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from math import isfinite

import torch
from torch import Tensor

from .errors import ImageError
from .serialization import Json, tensor_from_json, tensor_to_json

Point = tuple[float, float]
Box = tuple[float, float, float, float]


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
        """Raises ImageError where `data` does not describe a face."""
        try:
            left, top, right, bottom = (float(value) for value in data["box"])
            landmarks = tuple((float(x), float(y)) for x, y in data["landmarks"])
            face = cls(
                int(data["frame"]), int(data["index"]), (left, top, right, bottom), float(data["score"]), landmarks
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ImageError(
                f"This is not a face: {data!r} ({error}). Expected frame, index, box [4], score and landmarks [5][2], "
                "as `osdface detect --json` writes them."
            ) from error
        if len(face.landmarks) != 5:
            raise ImageError(f"Face {face.index} has {len(face.landmarks)} landmarks; five are needed.")
        if not face.is_finite:
            raise ImageError(f"Face {face.index} of frame {face.frame} has values that are no numbers: {data!r}.")
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
        face, identity = Face.from_json(data), data.get("identity")
        return cls(face, bool(data["restored"]), str(data["reason"]), None if identity is None else float(identity))


@dataclass(frozen=True)
class Faces:
    """The faces of a batch of images that share one size."""

    faces: tuple[Face, ...]
    frames: int
    """How many images the batch has, those without a face included."""
    height: int
    width: int
    left_out: tuple[FaceReport, ...] = field(default=(), compare=False)
    """Faces that were found, but are not to be restored, and why: for the report at the end."""

    def __len__(self) -> int:
        return len(self.faces)

    def __iter__(self) -> Iterator[Face]:
        return iter(self.faces)

    def keep(self, faces: Iterable[Face], reason: str = "") -> "Faces":
        """The same batch with these faces only. Where there is a reason, the others are left out for it."""
        kept = tuple(faces)
        gone = [FaceReport(face, False, reason) for face in self if face not in kept] if reason else []
        return replace(self, faces=kept, left_out=(*self.left_out, *gone))

    def summary(self) -> str:
        """How many faces there are, and how many are left out for which reason, for people."""
        reasons = Counter(entry.reason for entry in self.left_out)
        return "\n".join([f"{len(self)} face(s)", *(f"{count} left: {reason}" for reason, count in reasons.items())])

    def between(self, first: int, end: int) -> "Faces":
        """The faces of the frames from `first` to before `end`, as a batch of its own: frames count from 0 again."""

        def moved(face: Face) -> Face:
            return replace(face, frame=face.frame - first)

        own = tuple(moved(face) for face in self if first <= face.frame < end)
        gone = (entry for entry in self.left_out if first <= entry.face.frame < end)
        left_out = tuple(replace(entry, face=moved(entry.face)) for entry in gone)
        return replace(self, faces=own, frames=end - first, left_out=left_out)

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
            "left_out": [entry.to_json() for entry in self.left_out],
        }

    @classmethod
    def from_json(cls, data: Json) -> "Faces":
        """Raises ImageError where `data` does not describe the faces of a batch."""
        try:
            faces = tuple(Face.from_json(face) for face in data["faces"])
            left_out = tuple(FaceReport.from_json(entry) for entry in data.get("left_out", ()))
            batch = cls(faces, int(data["frames"]), int(data["height"]), int(data["width"]), left_out)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ImageError(
                f"These are not the faces of an image ({type(error).__name__}: {error}). Expected frames, height, "
                "width and faces, as `osdface detect --json` writes them."
            ) from error
        if min(batch.frames, batch.height, batch.width) < 1:
            raise ImageError(f"There are no {batch.frames} image(s) of {batch.width}x{batch.height}.")
        numbers: set[tuple[int, int]] = set()
        for face in (*batch, *(entry.face for entry in batch.left_out)):
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
        if self.to_crop.shape != (count, 2, 3):
            raise ValueError(f"to_crop must be [{count},2,3], not {list(self.to_crop.shape)}")

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
        return replace(kept, faces=replace(kept.faces, left_out=(*kept.faces.left_out, *gone)))

    def with_images(self, images: Tensor) -> "FaceCrops":
        """The same faces with other pixels [N,3,S,S], at any size: restored or edited elsewhere.

        Raises ImageError where there is not one square image for every face.
        """
        if images.ndim != 4 or images.shape[0] != len(self) or images.shape[2] != images.shape[3]:
            raise ImageError(
                f"There are {len(self)} face crops, so {len(self)} square images are needed, not {len(images)} of "
                f"{images.shape[-1]}x{images.shape[-2]}. Keep the number, the order and the shape of the crops."
            )
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
        images, to_crop = tensor_from_json(data["images"]), tensor_from_json(data["to_crop"])
        identity = data.get("identity")
        return cls(images, Faces.from_json(data["faces"]), to_crop, None if identity is None else tuple(identity))


def check_image(image: Tensor) -> None:
    """Raise ImageError unless `image` is a float32 [B,3,H,W] batch with pixels in it."""
    if image.ndim != 4 or image.shape[1] != 3 or image.dtype != torch.float32 or image.numel() == 0:
        raise ImageError(
            f"Expected an image batch [B,3,H,W] in float32, 0..1; got {list(image.shape)} {image.dtype}. "
            "Grey and RGBA images have to be turned into RGB first: `osdface_core.read_photo` does."
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

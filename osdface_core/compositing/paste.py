"""Paste restored crops back: in float, touching only the faces' regions, whatever the scale of the background."""

from dataclasses import dataclass
from math import inf

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ImageError
from ..faces import FaceCrops, FaceReport, check_finite, check_image, check_origin, inverse, so_many
from ..geometry.align import cut, warp
from ..geometry.regions import background_matrices, hull, is_empty, region_of, touching
from ..options import Paste, Shape
from ..serialization import Json, reading, rounded, tensor_from_json, tensor_to_json
from .masks import shape_mask

SPACING = 1.5
"""How far apart, in crop pixels, a shrinking crop is sampled: bilinear samples still see all that lies between."""

PROBES, LEVEL = 64, 1 / 255
"""A crop is compared with the photo in so many pixels a side; a change that is less than a level of 8 bits is none."""

OUTSIDE_MASK, AS_BEFORE = "outside the mask", "it looks as before"
SEEN = LEVEL / 2
"""A face is restored where one of its pixels changes by this much at least: less is rounded away."""


@dataclass(frozen=True, eq=False)
class Composite:
    """The finished images."""

    image: Tensor
    """[B,3,H,W], bit-identical to the input wherever `mask` is 0."""
    mask: Tensor
    """[B,H,W], 0..1: how much of each pixel was restored."""
    report: tuple[FaceReport, ...]
    """Every face that was found, in order of frame and index."""
    notice: str = ""
    """What a person should look into; empty where all is well."""

    def summary(self) -> str:
        """One line a frame, for people. A single image's does not number it."""
        lines = []
        for frame in range(self.image.shape[0]):
            start = f"frame {frame}: " if self.image.shape[0] > 1 else ""
            entries = [entry for entry in self.report if entry.face.frame == frame]
            restored = sum(entry.restored for entry in entries)
            if not entries:
                lines.append(f"{start}no face to restore, returned unchanged")
            else:
                alike = [entry.identity for entry in entries if entry.restored and entry.identity is not None]
                least = f", identity at least {min(alike):.2f}" if alike else ""
                lines.append(f"{start}{restored} of {so_many(len(entries))} restored{least}{left_text(entries)}")
        return "\n".join([*lines, self.notice] if self.notice else lines)

    def report_json(self) -> Json:
        """The report alone, without pixels: for people first, and its figures rounded."""
        frames, _, height, width = self.image.shape
        faces = [rounded(entry.to_json()) for entry in self.report]
        return {"summary": self.summary(), "frames": frames, "height": height, "width": width, "faces": faces}

    def to_json(self) -> Json:
        return {
            "image": tensor_to_json(self.image),
            "mask": tensor_to_json(self.mask),
            "report": [entry.to_json() for entry in self.report],
            "notice": self.notice,
        }

    @classmethod
    def from_json(cls, data: Json) -> "Composite":
        """Raises ImageError where `data` does not describe finished images."""
        with reading("a composite", "image, mask, report and notice, as `to_json` writes them"):
            report = tuple(FaceReport.from_json(entry) for entry in data["report"])
            return cls(tensor_from_json(data["image"]), tensor_from_json(data["mask"]), report, str(data["notice"]))


def paste_faces(
    image: Tensor,
    crops: FaceCrops,
    *,
    strength: float = Paste.strength,
    shape: Shape = Paste.shape,
    feather: float = Paste.feather,
    mask: Tensor | None = None,
    crop_masks: Tensor | None = None,
    plain: bool = False,
) -> Composite:
    """Paste restored crops into `image` [B,3,H,W], which may be the source or any enlargement of it.

    Where faces overlap, each counts with its mask's weight, so their order does not matter. Pixels that no mask reaches
    are bit-identical; with nothing to paste the same tensor comes back. Where a crop still is as it was cut, the photo
    keeps its own pixels, which a crop cannot carry without loss. Faces are restored where a pixel changes.

    strength: 0..1, a straight mix of the photo and the restored face.
    shape: "square" for the whole crop, "ellipse" for the head alone.
    feather: 0..0.5, the width of a face's soft border as a share of its crop's side.
    mask: [B,H,W] or [1,H,W], 0..1, where restoration is wanted; joined with the faces' own masks by minimum.
    crop_masks: [N,h,w], 0..1, where in each crop the face is, as `parse_masks` tells; joined in the same way.
    plain: paste as facexlib does: all of a crop, one bilinear sample for every pixel, also of a shrinking crop.
    Raises, before any work, OptionError for a strength, shape or feather that cannot be, and ImageError for pixels or
    masks that are no numbers, or sizes that do not belong together. Masks beyond 0..1 count as 0 or 1.
    """
    Paste(strength=strength, shape=shape, feather=feather).validate()
    check_image(image)
    frames, _, height, width = image.shape
    if frames != crops.faces.frames:
        raise ImageError(f"The faces come from {crops.faces.frames} image(s), the background has {frames}.")
    if mask is not None and (mask.ndim != 3 or mask.shape[0] not in (1, frames) or mask.shape[1:] != (height, width)):
        expected = f"[{frames},{height},{width}], or [1,{height},{width}] for all images"
        raise ImageError(f"The mask must be {expected}, not {list(mask.shape)}.")
    if crop_masks is not None and (crop_masks.shape[:-2] != (len(crops),) or 0 in crop_masks.shape[1:]):
        raise ImageError(f"There are {len(crops)} face crops, so {len(crops)} masks are needed, one for every crop.")
    for name, values in {"image": image, "face crop": crops.images, "mask": mask, "face mask": crop_masks}.items():
        if values is not None:
            check_finite(values, name)
    check_origin(crops)
    reasons = ["" if strength > 0 else "strength is 0"] * len(crops)
    weight = image.new_zeros(frames, height, width)
    if not len(crops) or strength <= 0:
        return Composite(image, weight, report_of(crops, reasons))
    notice = stretch_notice(crops, height, width)

    result = image.clone()
    to_background = background_matrices(crops, height, width)
    regions = [region_of(matrix, crops.size, height, width) for matrix in to_background]
    reasons = ["outside the image" if is_empty(region) else "" for region in regions]
    own = shape_mask(crops.size, shape, feather).to(image)[None].expand(len(crops), -1, -1)
    if crop_masks is not None:
        drawn = crop_masks[:, None].to(image).clamp(0, 1)
        own = own.minimum(F.interpolate(drawn, own.shape[1:], mode="bilinear")[:, 0])
    spacing = inf if plain else SPACING
    effects = image.new_ones(len(crops), 2)  # how much each face's mask reaches, and its pixels change, at most
    for frame in range(frames):
        members = [n for n, face in enumerate(crops.faces) if face.frame == frame and not is_empty(regions[n])]
        members.sort(key=lambda n: crops.faces.faces[n].index)
        for group in touching(members, regions):
            left, top, right, bottom = hull(regions[n] for n in group)
            photo, target = (batch[frame, :, top:bottom, left:right] for batch in (image, result))
            colour, total, uncovered = torch.zeros_like(photo), torch.zeros_like(photo[0]), torch.ones_like(photo[0])
            for n in group:
                x0, y0, x1, y1 = regions[n]
                to_region = to_background[n] - torch.tensor([[0, 0, x0], [0, 0, y0]])
                crop = crops.images[n].to(image)
                kept = torch.zeros_like(crop[:1]) if plain else unchanged(crop, image[frame], to_background[n])
                layers = torch.cat([crop, kept, own[n : n + 1]])  # the mask is 0 at the border, and so beyond it
                layers = warp(layers, to_region, (y1 - y0, x1 - x0), padding="border", spacing=spacing)
                face, soft = torch.lerp(layers[:3], image[frame, :, y0:y1, x0:x1], layers[3]), layers[4]
                if mask is not None:
                    soft = soft.minimum(mask[frame % mask.shape[0], y0:y1, x0:x1].to(soft).clamp(min=0))
                change = soft * (face - image[frame, :, y0:y1, x0:x1])
                effects[n] = torch.stack([soft.amax(), change.abs().amax()]) * strength
                here = (..., slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
                colour[here] += soft * face
                total[here] += soft
                uncovered[here] *= 1 - soft
            alpha = (1 - uncovered) * strength
            mixed = photo + alpha * (colour / total.clamp(min=1e-12) - photo)
            target.copy_(torch.where(alpha > 0, mixed, target))
            weight[frame, top:bottom, left:right] += alpha
    for n, (reach, change) in enumerate(effects.tolist()):
        if change < SEEN:
            reasons[n] = OUTSIDE_MASK if reach < SEEN else AS_BEFORE
    return Composite(result, weight, report_of(crops, reasons), notice)


def unchanged(crop: Tensor, image: Tensor, to_image: Tensor) -> Tensor:
    """Where a crop [3,S,S] still shows `image` as it was cut from it: [1,S,S], 1 there, 0 where it was restored."""
    size = crop.shape[-1]
    step = max(size // PROBES, 1)
    probes = cut(image, inverse(to_image) / step, -(-size // step), aperture=1 / step)
    change = (crop[:, ::step, ::step] - probes).square().mean(0)
    around = F.avg_pool2d(change[None, None], 5, stride=1, padding=2, count_include_pad=False)
    same = torch.exp(-around / (2 * LEVEL**2))
    return F.interpolate(same, crop.shape[1:], mode="bilinear")[0]


def report_of(crops: FaceCrops, reasons: list[str]) -> tuple[FaceReport, ...]:
    """What became of every face that was found; those with a reason were not restored."""
    identity = crops.identity or [None] * len(crops)
    of_each = zip(crops.faces, reasons, identity, strict=True)
    pasted = [FaceReport(face, not reason, reason, alike) for face, reason, alike in of_each]
    return tuple(sorted([*crops.faces.skipped, *pasted], key=lambda entry: (entry.face.frame, entry.face.index)))


def left_text(entries: list[FaceReport]) -> str:
    """The faces that were not restored, under each reason."""
    numbers: dict[str, list[str]] = {}
    for entry in entries:
        if not entry.restored:
            numbers.setdefault(entry.reason, []).append(str(entry.face.index))
    return "".join(f"; face{'s' * (len(own) > 1)} {', '.join(own)} left: {reason}" for reason, own in numbers.items())


def stretch_notice(crops: FaceCrops, height: int, width: int) -> str:
    """A warning where a background has other proportions than the photo, beyond what rounding its sides explains."""
    source = crops.faces
    if abs(width / source.width - height / source.height) <= 1.5 / min(source.width, source.height):
        return ""
    return (
        f"the background ({width}x{height}) has other proportions than the photo ({source.width}x{source.height}): the "
        "faces are stretched with it. Resize it without cropping if that is not meant."
    )

"""The pack's own socket types, and ComfyUI's images, masks and boxes as the core takes them.

OSDFACE_MODEL     any osdface_core Restorer (runtime.Weights, runtime.OtherRestorer, native.NativeWeights): its networks
                  under ComfyUI's memory management
OSDFACE_DETECTOR  runtime.Resident: RetinaFace, likewise
OSDFACE_EMBEDDER  runtime.Resident: a face embedder, likewise
OSDFACE_PARSER    runtime.Resident: a face parser, likewise
OSDFACE_FACES     osdface_core.Faces
OSDFACE_CROPS     osdface_core.FaceCrops
OSDFACE_PROMPT    osdface_core.Prompts
"""

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from comfy_api.latest import io
from torch import Tensor

from ..osdface_core import Composite, FaceCrops, Prompts
from ..osdface_core.errors import ImageError
from ..osdface_core.faces import Box, Face, check_finite

Model = io.Custom("OSDFACE_MODEL")
Detector = io.Custom("OSDFACE_DETECTOR")
Embedder = io.Custom("OSDFACE_EMBEDDER")
Parser = io.Custom("OSDFACE_PARSER")
Faces = io.Custom("OSDFACE_FACES")
Crops = io.Custom("OSDFACE_CROPS")
Prompt = io.Custom("OSDFACE_PROMPT")
FaceLandmarks = io.Custom("FACE_LANDMARKS")
"""ComfyUI's own, which its API has no name for."""

CATEGORY = "OSDFace"
LOADERS, STAGES, VIDEO = (f"{CATEGORY}/{part}" for part in ("loaders", "stages", "video"))
ANY_MODEL = "Connect Load OSDFace Model, OSDFace Model from SD 2.1 or Load Face Restorer."
SHOWN_LINES = 4
"""How much of a summary a node shows: a video has a line for every frame."""


def from_image(image: Tensor) -> Tensor:
    """IMAGE [B,H,W,C], of any precision, with or without alpha -> [B,3,H,W] float32. Raises ImageError for NaN."""
    pixels = image[..., :3].float().movedim(-1, 1)
    if pixels.shape[1] < 3:
        pixels = pixels[:, :1].expand(-1, 3, -1, -1)
    check_finite(pixels, "image")
    return pixels


def to_image(pixels: Tensor) -> Tensor:
    """[B,3,H,W] -> IMAGE [B,H,W,3]."""
    return pixels.movedim(1, -1)


def crops_to_image(pixels: Tensor) -> Tensor:
    """[N,3,S,S] -> IMAGE [N,S,S,3]; one black picture where there are no faces, since many nodes fail on none."""
    return to_image(pixels if len(pixels) else pixels.new_zeros(1, *pixels.shape[1:]))


def with_pixels(image: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """The IMAGE whose pixels were `before` [B,3,H,W] with `after` instead, its alpha kept; itself if none changed.

    Where `after` is larger, its alpha is enlarged with it.
    """
    if after is before:
        return image
    if image.shape[-1] <= 3:
        return to_image(after)
    alpha = image[..., 3:].to(after).movedim(-1, 1)
    if alpha.shape[2:] != after.shape[2:]:
        alpha = F.interpolate(alpha, after.shape[2:], mode="bicubic").clamp(0, 1)
    return to_image(torch.cat([after, alpha], dim=1))


def from_conditioning(conditioning: list[tuple[Tensor, dict[str, Any]]], faces: int) -> Prompts:
    """CONDITIONING of one text -> what so many faces are all told. Raises ImageError for several texts combined."""
    if len(conditioning) != 1:
        raise ImageError(f"This conditioning combines {len(conditioning)} texts; one is needed. Encode a single text.")
    return Prompts.of_text(conditioning[0][0].float(), faces)


def to_lines(crops: FaceCrops, values: Iterable[float]) -> str:
    """A line of text for every face, with a figure."""
    of_each = zip(crops.faces, values, strict=True)
    return "\n".join(f"{named(face, crops)}: {value:.2f}" for face, value in of_each)


def named(face: Face, crops: FaceCrops) -> str:
    """A face by its number, and its frame's where there are several."""
    return f"frame {face.frame}, face {face.index}" if crops.faces.frames > 1 else f"face {face.index}"


def said(result: Composite, *notices: str) -> dict[str, list[str]]:
    """What became of the faces, and notices, shown on the node by web/message.js."""
    lines = result.summary().splitlines()
    if len(lines) > SHOWN_LINES:
        lines = [*lines[: SHOWN_LINES - 2], f"… {len(lines) - SHOWN_LINES + 1} more in the report …", lines[-1]]
    return {"text": ["\n".join([*lines, *filter(None, notices)])]}


def from_mask(mask: Tensor, height: int, width: int) -> Tensor:
    """MASK [B,h,w] or [h,w] of any size -> [B,height,width], 0..1. Raises ImageError for NaN."""
    check_finite(mask, "mask")
    mask = mask.float().clamp(0, 1).reshape(-1, 1, *mask.shape[-2:])
    if mask.shape[2:] != (height, width):
        mask = F.interpolate(mask, (height, width), mode="bilinear", antialias=True)
    return mask[:, 0]


def from_bounding_boxes(value: object, frames: int) -> list[list[Box]]:
    """BOUNDING_BOX (one, a list, or a list for every image) -> corner boxes for every frame; one image's go for all."""
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list | tuple):
        raise ImageError(f"These are no bounding boxes, but a {type(value).__name__}.")
    if all(isinstance(box, dict) for box in value):
        value = [value]
    try:
        per_frame = [[corners(box) for box in boxes] for boxes in value]
    except (KeyError, TypeError, ValueError) as error:
        expected = "x, y, width and height in pixels"
        raise ImageError(
            f"These are no bounding boxes ({type(error).__name__}: {error}). Expected {expected}."
        ) from error
    if len(per_frame) == 1:
        per_frame *= frames
    if len(per_frame) != frames:
        raise ImageError(f"There are bounding boxes for {len(per_frame)} images, but the batch has {frames}.")
    return per_frame


def corners(box: dict[str, float]) -> Box:
    left, top, width, height = (float(box[key]) for key in ("x", "y", "width", "height"))
    return left, top, left + width, top + height

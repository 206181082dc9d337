"""The whole job without ComfyUI: the stages in their order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .batches import OnBatch
from .compositing.color import match_color
from .compositing.parsing import FaceParser, parse_masks
from .compositing.paste import Composite, paste_faces
from .detection.detector import RetinaFace
from .devices import upload
from .errors import ImageError, OptionError
from .faces import Face, FaceCrops, FaceReport, Faces, check_finite, check_image
from .geometry.align import align_faces, whole_crops
from .inference.restorer import as_restorer
from .models.diffusion import OneStepModel
from .models.one_step import check_restored
from .models.osdface import OSDFaceModel
from .models.osediff import OSEDiffModel
from .models.restorer import Restorer
from .options import Color, Detect, Paste, PhotoOptions, Restore
from .osediff import restore_exactly
from .recognition.embedders import Embedder
from .recognition.identity import check_identity
from .selection.select import select_by_limits

LEAST_EXACT = 16
"""Pixels that each side of an image must have to be processed at its own size."""


class Restored(NamedTuple):
    """What became of crops, before they are pasted."""

    after: FaceCrops
    """Restored and in the colours asked for; those that became somebody else among them."""
    checked: FaceCrops
    """The same without those, which are left out for their reason."""
    masks: Tensor | None
    """[N,h,w]: where each of those shows the face, as a parser says; None without one."""


class Restoration(NamedTuple):
    """What the stages made of a photo."""

    result: Composite
    before: FaceCrops
    """The crops that were chosen."""
    after: FaceCrops
    """The same, restored and in the colours asked for; those that became somebody else among them."""


def restore_image(
    image: Tensor,
    model: OneStepModel | Restorer,
    detector: RetinaFace | None = None,
    *,
    faces: Faces | None = None,
    crops: FaceCrops | None = None,
    choose: Callable[[FaceCrops], FaceCrops] | None = None,
    background: Tensor | None = None,
    mask: Tensor | None = None,
    embedder: Embedder | None = None,
    parser: FaceParser | None = None,
    upscaler: Callable[[Tensor], Tensor] | None = None,
    on_batch: OnBatch | None = None,
    **options: Any,
) -> Composite:
    """Restore every face in `image` [B,3,H,W], 0..1.

    model: an OSDFaceModel or OSEDiffModel, or any other `Restorer`.
    detector, faces or crops: what finds the faces, the faces themselves, or these cut out already.
    choose: takes the aligned crops and gives those to restore, as the functions in `select.py` do.
    background: the same images at any other size, to paste into; `image` itself by default.
    mask: [B,h,w] or [1,h,w] of any size, 0..1, over all of the image: 1 where restoration is wanted.
    embedder: measures how alike each face is before and after, for the report and for `min_identity`.
    parser: finds hands, hats and other things before a face, which then stay as in the photo; and the parts to `leave`.
    upscaler: enlarges what is around the faces, as `load_upscaler` does: by its own scale, or to what `upscale` says.
    on_batch: called with (faces done, faces in all); what it raises ends the work.
    options: the fields of `options.PhotoOptions`, by their names: threshold, strength, color, seed and others.
    Raises, before any work, OptionError for a value that cannot be, and ImageError where the image or the mask is no
    such batch.
    """
    return restore_stages(
        image,
        as_restorer(model),
        PhotoOptions(**options),
        detector,
        faces=faces,
        crops=crops,
        choose=choose,
        background=background,
        mask=mask,
        embedder=embedder,
        parser=parser,
        upscaler=upscaler,
        on_batch=on_batch,
    ).result


@dataclass(frozen=True, eq=False)
class Stages:
    """The stages in their order, callable apart, so that the faces of many photos can share batches.

    `restore_image` explains the parts; `restore_stages` calls them for one batch of images.
    select: takes the faces found and gives those to align.
    ready: brings detector, embedder or parser to where it computes, just before it has to, for so many faces.
    Raises OptionError for a value that cannot be, or that the restorer or the networks given cannot serve.
    """

    restorer: Restorer
    options: PhotoOptions
    detector: Any = None
    select: Callable[[Faces], Faces] | None = None
    choose: Callable[[FaceCrops], FaceCrops] | None = None
    embedder: Any = None
    parser: Any = None
    upscaler: Callable[[Tensor], Tensor] | None = None
    ready: Callable[[Any, int], Any] = lambda network, _faces: network

    def __post_init__(self) -> None:
        self.options.validate()
        self.options.check_taken(self.restorer.options)
        self.options.check_tools(self.embedder, self.parser)

    @torch.no_grad()
    def find(self, image: Tensor) -> Faces:
        """First, the faces in `image` [B,3,H,W], 0..1. Raises ImageError where there is no detector."""
        if self.detector is None:
            raise ImageError("There is nothing to find the faces with: give a detector, or the faces.")
        return detect_faces(image, self.ready(self.detector, 0), self.options)

    @torch.no_grad()
    def cut(self, image: Tensor, faces: Faces) -> FaceCrops:
        """Then the crops of those that lie within the limits and are chosen, aligned."""
        chosen = within_limits(faces, self.options)
        chosen = chosen if self.select is None else self.select(chosen)
        return self.pick(align_faces(image, chosen, self.restorer.crop_size))

    @torch.no_grad()
    def pick(self, crops: FaceCrops) -> FaceCrops:
        """Of crops that were cut already, those that are chosen."""
        return crops if self.choose is None else self.choose(crops)

    @torch.no_grad()
    def restore(self, before: FaceCrops, on_batch: OnBatch | None = None) -> Restored:
        """Then what becomes of these crops, each of which is treated by itself, whatever photo it is from."""
        options, after, checked = self.options, before, before
        if len(before) and options.strength > 0:
            after = restore_and_match(before, self.restorer, options, on_batch)
            measure = None if self.embedder is None else self.ready(self.embedder, 0)
            checked = check_identity(measure, before, after, options.min_identity)
        size = self.restorer.at_once(len(checked) or 1, options.batch_size)
        network = self.ready(self.parser, size) if self.parser is not None and len(checked) else None
        if network is None:
            return Restored(after, checked, None)
        masks = parse_masks(network, checked, leave=options.leave, feather=options.feather, batch_size=size)
        return Restored(after, checked, masks)

    @torch.no_grad()
    def paste(
        self,
        image: Tensor,
        checked: FaceCrops,
        masks: Tensor | None,
        background: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Composite:
        """At last these restored crops in `image` [B,3,H,W], or in the background, or in the image enlarged."""
        target = enlarged(image, self.options.upscale, self.upscaler) if background is None else background
        target = image if target is None else target
        if mask is not None and mask.shape[1:] != target.shape[2:]:
            size = target.shape[2:]
            mask = F.interpolate(mask[:, None].to(target), size, mode="bilinear", antialias=True)[:, 0]
        how = {name: getattr(self.options, name) for name in ("strength", "shape", "feather")}
        return paste_faces(target, checked, mask=mask, crop_masks=masks, **how)


def restore_stages(
    image: Tensor,
    restorer: Restorer,
    options: PhotoOptions,
    detector: Any = None,
    *,
    faces: Faces | None = None,
    crops: FaceCrops | None = None,
    background: Tensor | None = None,
    mask: Tensor | None = None,
    on_batch: OnBatch | None = None,
    **parts: Any,
) -> Restoration:
    """All stages for `image` [B,3,H,W]. parts: what else `Stages` has. The rest as `restore_image` explains it."""
    check_image(image)
    if mask is not None:
        check_mask(mask, len(image))
    if background is not None and options.upscale != 1:
        problem = "the background that is given has its own size: leave upscale at 1, or leave the background out"
        raise OptionError("upscale", options.upscale, problem)
    if background is not None:
        check_image(background)
    stages = Stages(restorer, options, detector, **parts)
    if crops is not None:
        before = stages.pick(crops)
    else:
        before = stages.cut(image, stages.find(image) if faces is None else faces)
    after, checked, masks = stages.restore(before, on_batch)
    return Restoration(stages.paste(image, checked, masks, background, mask), before, after)


def check_mask(mask: Tensor, frames: int) -> None:
    """Raise ImageError unless this is a mask [B,h,w], or one for all images [1,h,w], with numbers in it."""
    if mask.ndim != 3 or mask.shape[0] not in (1, frames) or mask.numel() == 0 or not mask.is_floating_point():
        expected = f"[{frames},h,w], or [1,h,w] for all images, in floating point"
        raise ImageError(f"The mask must be {expected}, not {list(mask.shape)} in {mask.dtype}.")
    check_finite(mask, "mask")


def restore_and_match(
    crops: FaceCrops, restorer: Restorer, options: PhotoOptions, on_batch: OnBatch | None = None
) -> FaceCrops:
    """The crops restored, in the colours asked for."""
    return match_color(restorer.restore(crops, options, on_batch=on_batch), crops, options.color)


def joined(crops: Sequence[FaceCrops]) -> FaceCrops:
    """The crops of several batches of images as those of one, whose frames follow one another.

    Where the images differ in size, theirs counts as the largest height and width there is.
    """
    faces: list[Face] = []
    gone: list[FaceReport] = []
    frames = 0
    for own in crops:
        faces += [replace(face, frame=face.frame + frames) for face in own.faces]
        gone += [
            replace(entry, face=replace(entry.face, frame=entry.face.frame + frames)) for entry in own.faces.skipped
        ]
        frames += own.faces.frames
    height, width = (max(getattr(own.faces, side) for own in crops) for side in ("height", "width"))
    batch = Faces(tuple(faces), frames, height, width, tuple(gone))
    return FaceCrops(torch.cat([own.images for own in crops]), batch, torch.cat([own.to_crop for own in crops]))


def find_faces(image: Tensor, detector: RetinaFace, options: Detect) -> Faces:
    """The faces in `image` [B,3,H,W] that lie within the limits of the options."""
    return within_limits(detect_faces(image, detector, options), options)


def detect_faces(image: Tensor, detector: RetinaFace, options: Detect) -> Faces:
    """The faces in `image` [B,3,H,W], of whatever size and number."""
    return detector.detect(image, threshold=options.threshold, any_rotation=options.any_rotation)


def within_limits(faces: Faces, options: Detect) -> Faces:
    """The faces of the sizes that are wanted, and no more of every image than wanted."""
    smallest, largest, count = options.min_size, options.max_size, options.max_count
    return select_by_limits(faces, min_size=smallest, max_size=largest, max_count=count)[0]


def enlarged(image: Tensor, factor: float, upscaler: Callable[[Tensor], Tensor] | None = None) -> Tensor | None:
    """A background for `restore_image`: the image [B,3,H,W], enlarged to whole pixels. None for the image itself.

    By the size and not the factor: its edges are the image's, as pasting takes them, where the factor does not divide.

    upscaler: does the enlarging; without a factor (1) by its own scale.
    """
    size = [round(side * factor) for side in image.shape[2:]]
    if upscaler is None:
        return None if factor == 1 else F.interpolate(image, size, mode="bicubic").clamp(0, 1)
    large = upscaler(image)
    if factor == 1 or list(large.shape[2:]) == size:
        return large
    return F.interpolate(large, size, mode="bicubic", antialias=True).clamp(0, 1)


@torch.no_grad()
def restore_aligned(
    image: Tensor,
    model: OneStepModel | Restorer,
    *,
    exact: bool = False,
    seed: int | None = None,
    color: Color | None = None,
    **options: Any,
) -> Tensor:
    """Restore one image [1,3,H,W] that is an aligned face already: a crop of the restorer's size comes back.

    exact: as the authors' program treats it. By OSDFace a square image is brought to the crop size without
        anti-aliasing, corners on corners; any other is processed at its own size. By OSEDiff's, see
        `osediff.restore_exactly`. They sample the posterior: give a seed.
    color: how it gets the image's colours: None as photos do by default, with `exact` not at all.
    options: the other fields of `options.Restore`, by their names; with `exact` OSEDiff's, and none of OSDFace.
    Raises ImageError for an image that is not square, unless `exact`, or that is tiny, and where the networks give no
    numbers; OptionError for an option that cannot be.
    """
    check_image(image)
    Restore(seed=seed).validate()
    height, width = image.shape[2:]
    if exact and isinstance(model, OSEDiffModel):
        return restore_exactly(image, model, seed=seed, color=color or "none", **options)
    if exact and isinstance(model, OSDFaceModel):
        size = (model.config.crop_size, model.config.crop_size)
        if min(height, width) < LEAST_EXACT:
            raise ImageError(f"This image is {width}x{height}: its sides must have {LEAST_EXACT} pixels or more.")
        if height == width:
            image = F.interpolate(image, size, mode="bilinear", align_corners=True)
        image = upload(image, model.device)
        return check_restored(model.one_step(image, model.vre(image).embeds, seed))
    if exact:
        raise ImageError("There is no program of its authors for this restorer: leave out exact.")
    if height != width:
        raise ImageError(
            f"An aligned face must be square; this image is {width}x{height}. Let its faces be detected instead, or "
            "process it at its own size as the authors' program does (exact)."
        )
    restorer, chosen = as_restorer(model), Restore(seed=seed, **options)
    chosen.validate()
    chosen.check_taken(restorer.options)
    side = (restorer.crop_size, restorer.crop_size)
    crops = whole_crops(F.interpolate(image, side, mode="bicubic", antialias=True).clamp(0, 1))
    return match_color(restorer.restore(crops, chosen), crops, color or Paste.color).images.clamp(0, 1)

"""The whole job without ComfyUI: the stages in their order."""

from collections.abc import Callable
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
from .errors import ImageError
from .faces import FaceCrops, Faces, check_image
from .geometry.align import align_faces, whole_crops
from .inference.restorer import as_restorer
from .models.diffusion import OneStepModel
from .models.one_step import check_restored
from .models.osdface import OSDFaceModel
from .models.osediff import OSEDiffModel
from .models.restorer import Restorer
from .options import Detect, PhotoOptions, Restore
from .osediff import restore_exactly
from .recognition.embedders import Embedder
from .recognition.identity import check_identity
from .selection.select import select_by_limits


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
    embedder: measures how alike each face is before and after, for the report and for `min_identity`.
    parser: finds hands, hats and other things before a face, which then stay as in the photo; and the parts to `leave`.
    upscaler: enlarges what is around the faces, as `load_upscaler` does: by its own scale, or to what `upscale` says.
    on_batch: called with (faces done, faces in all); what it raises ends the work.
    options: the fields of `options.PhotoOptions`, by their names: threshold, strength, color, seed and others.
    Raises, before any work, OptionError for a value that cannot be, and ImageError where the image is no such batch.
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
        embedder=embedder,
        parser=parser,
        upscaler=upscaler,
        on_batch=on_batch,
    ).result


@torch.no_grad()
def restore_stages(
    image: Tensor,
    restorer: Restorer,
    options: PhotoOptions,
    detector: Any = None,
    *,
    faces: Faces | None = None,
    crops: FaceCrops | None = None,
    select: Callable[[Faces], Faces] | None = None,
    choose: Callable[[FaceCrops], FaceCrops] | None = None,
    background: Tensor | None = None,
    embedder: Any = None,
    parser: Any = None,
    upscaler: Callable[[Tensor], Tensor] | None = None,
    ready: Callable[[Any, int], Any] = lambda network, _faces: network,
    on_batch: OnBatch | None = None,
) -> Restoration:
    """The stages in their order, as `restore_image` explains them: the one place that knows it.

    select: takes the faces found and gives those to align.
    ready: brings detector, embedder or parser to where it computes, just before it has to, for so many faces.
    """
    check_image(image)
    options.validate()
    options.check_taken(restorer.options)
    options.check_tools(embedder, parser)
    if crops is None:
        if faces is None:
            if detector is None:
                raise ImageError("There is nothing to find the faces with: give a detector, or the faces.")
            faces = find_faces(image, ready(detector, 0), options)
        crops = align_faces(image, faces if select is None else select(faces), restorer.crop_size)
    before = crops if choose is None else choose(crops)
    after = checked = before
    if len(before) and options.strength > 0:
        after = restore_and_match(before, restorer, options, on_batch)
        measure = None if embedder is None else ready(embedder, 0)
        checked = check_identity(measure, before, after, options.min_identity)
    size = min(options.batch_size or restorer.at_once(len(checked) or 1), len(checked) or 1)
    network = ready(parser, size) if parser is not None and len(checked) else None
    masks = (
        None
        if network is None
        else parse_masks(network, checked, leave=options.leave, feather=options.feather, batch_size=size)
    )
    target = enlarged(image, options.upscale, upscaler) if background is None else background
    target = image if target is None else target
    pasted = paste_faces(
        target, checked, strength=options.strength, shape=options.shape, feather=options.feather, crop_masks=masks
    )
    return Restoration(pasted, before, after)


def restore_and_match(
    crops: FaceCrops, restorer: Restorer, options: PhotoOptions, on_batch: OnBatch | None = None
) -> FaceCrops:
    """The crops restored, in the colours asked for."""
    return match_color(restorer.restore(crops, options, on_batch=on_batch), crops, options.color)


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
    image: Tensor, model: OneStepModel | Restorer, *, exact: bool = False, seed: int | None = None, **options: Any
) -> Tensor:
    """Restore one image [1,3,H,W] that is an aligned face already: a crop of the restorer's size comes back.

    exact: as the authors' program treats it. By OSDFace a square image is brought to the crop size without
        anti-aliasing, corners on corners; any other is processed at its own size. By OSEDiff's, see
        `osediff.restore_exactly`. They sample the posterior: give a seed.
    options: the other fields of `options.Restore`, by their names; with `exact` OSEDiff's, and none of OSDFace.
    Raises ImageError for an image that is not square, unless `exact`, and where the networks give no numbers.
    """
    check_image(image)
    height, width = image.shape[2:]
    if exact and isinstance(model, OSEDiffModel):
        return restore_exactly(image, model, seed=seed, **options)
    if exact and isinstance(model, OSDFaceModel):
        size = (model.config.crop_size, model.config.crop_size)
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
    return restorer.restore(crops, chosen).images

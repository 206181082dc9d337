"""The whole job without ComfyUI: the stages in their order."""

from collections.abc import Callable, Collection
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from .batches import OnBatch
from .compositing.color import Method, match_color
from .compositing.masks import Shape
from .compositing.parsing import FaceParser, parse_masks
from .compositing.paste import Composite, paste_faces
from .detection.detector import RetinaFace
from .devices import upload
from .errors import ImageError
from .faces import FaceCrops, Faces, check_image
from .geometry.align import align_faces
from .inference.memory import faces_at_once
from .models.one_step import check_restored, restore_crops
from .models.osdface import OSDFaceModel
from .models.vre import encode_prompts
from .recognition.embedders import Embedder
from .recognition.identity import check_identity


@torch.no_grad()
def restore_image(
    image: Tensor,
    model: OSDFaceModel,
    detector: RetinaFace | None = None,
    *,
    faces: Faces | None = None,
    choose: Callable[[FaceCrops], FaceCrops] | None = None,
    background: Tensor | None = None,
    threshold: float = 0.8,
    strength: float = 1.0,
    latent_strength: float = 1.0,
    timestep: int | None = None,
    color: Method = "none",
    embedder: Embedder | None = None,
    min_identity: float = 0.0,
    shape: Shape = "square",
    parser: FaceParser | None = None,
    leave: Collection[str] = (),
    batch_size: int | None = None,
    seed: int | None = None,
    on_batch: OnBatch | None = None,
) -> Composite:
    """Restore every face in `image` [B,3,H,W], 0..1.

    detector or faces: what finds the faces, or the faces themselves.
    choose: takes the aligned crops and gives those to restore, as the functions in `select.py` do.
    background: the same images at any other size, to paste into; `image` itself by default.
    threshold: the lowest detection score to accept.
    strength: 0..1, a straight mix of the photo and the restored faces.
    latent_strength: 0..1, the same mix in the VAE's latents, before they are decoded.
    timestep: 0..999, how degraded the faces are taken to be; None for the one the model was trained at.
    color: "wavelet" or "adain" gives the restored faces the photo's colours.
    embedder: measures how alike each face is before and after, for the report.
    min_identity: 0..1, needs the embedder; faces less alike than this are left as they were.
    shape: "square" takes the whole crop, "ellipse" the head alone.
    parser: finds hands, hats and other things before a face, which then stay as in the photo.
    leave: parts of the face that stay too, such as "hair" or "glasses": needs the parser.
    batch_size: faces that go through the networks together; None for as many as the device's free memory holds.
    seed: None for the posterior's mode, the same result every time; a number samples the posterior.
    on_batch: called with (faces done, faces in all); what it raises ends the work.
    Raises ImageError where the image is not such a batch, or the faces are not of it.
    """
    check_image(image)
    if faces is None:
        if detector is None:
            raise ImageError("There is nothing to find the faces with: give a detector, or the faces.")
        faces = detector.detect(image, threshold=threshold)
    crops = align_faces(image, faces, model.config.crop_size)
    if choose is not None:
        crops = choose(crops)
    batch_size = batch_size or faces_at_once(model)
    if len(crops) and strength > 0:
        prompts = encode_prompts(model.vre, crops, batch_size=batch_size)
        one_step = replace(model.one_step, latent_strength=latent_strength)
        one_step = one_step if timestep is None else replace(one_step, timestep=timestep)
        restored = restore_crops(one_step, crops, prompts, batch_size=batch_size, seed=seed, on_batch=on_batch)
        restored = match_color(restored, crops, color)
        crops = check_identity(embedder, crops, restored, min_identity)
    masks = parse_masks(parser, crops, leave=leave, batch_size=batch_size)
    target = image if background is None else background
    return paste_faces(target, crops, strength=strength, shape=shape, crop_masks=masks)


def enlarged(image: Tensor, factor: float) -> Tensor | None:
    """A background for `restore_image`: the image [B,3,H,W], enlarged to whole pixels. None for the image itself.

    By the size and not the factor: its edges are the image's, as pasting takes them, where the factor does not divide.
    """
    size = [round(side * factor) for side in image.shape[2:]]
    return None if factor == 1 else F.interpolate(image, size, mode="bicubic").clamp(0, 1)


@torch.no_grad()
def restore_aligned(image: Tensor, model: OSDFaceModel, *, exact: bool = False, seed: int | None = None) -> Tensor:
    """Restore one image [1,3,H,W] that is an aligned face already: a crop of the model's size comes back.

    exact: as the authors' program treats it. A square image is brought to the crop size without anti-aliasing, corners
        on corners; any other is processed at its own size. They sample the posterior: give a seed.
    Raises ImageError for an image that is not square, unless `exact`, and where the networks give no numbers.
    """
    check_image(image)
    height, width = image.shape[2:]
    size = (model.config.crop_size, model.config.crop_size)
    if height == width and exact:
        image = F.interpolate(image, size, mode="bilinear", align_corners=True)
    elif height == width:
        image = F.interpolate(image, size, mode="bicubic", antialias=True).clamp(0, 1)
    elif not exact:
        raise ImageError(
            f"An aligned face must be square; this image is {width}x{height}. Let its faces be detected instead, or "
            "process it at its own size as the authors' program does (exact)."
        )
    image = upload(image, model.device)
    prompts = model.vre(image)
    return check_restored(model.one_step(image, prompts.embeds, seed))

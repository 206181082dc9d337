"""Crops that were restored apart, by different restorers, brought together to be pasted at once."""

from dataclasses import replace

import torch
import torch.nn.functional as F

from ..errors import ImageError
from ..faces import FaceCrops, FaceReport


def join_crops(first: FaceCrops, second: FaceCrops) -> FaceCrops:
    """The crops of two groups of faces in the same images, in order of frame and number, at the larger of both sizes.

    A face that one group left out and the other has is not left out. Raises ImageError where the groups come from
    different images, or have a face in common.
    """
    sizes = [(crops.faces.frames, crops.faces.width, crops.faces.height) for crops in (first, second)]
    if sizes[0] != sizes[1]:
        said = " and ".join(f"{frames} image(s) of {width}x{height}" for frames, width, height in sizes)
        raise ImageError(f"These crops come from different images: {said}. Crop both groups from the same ones.")
    own = {(face.frame, face.index) for face in first.faces}
    for face in second.faces:
        if (face.frame, face.index) in own:
            raise ImageError(f"Face {face.index} of image {face.frame} is in both groups. Select it for one of them.")
    side = max(first.size, second.size)
    first, second = (resized(crops, side) for crops in (first, second))
    faces = [*first.faces, *second.faces]
    order = sorted(range(len(faces)), key=lambda place: (faces[place].frame, faces[place].index))
    there = {(face.frame, face.index) for face in faces}
    gone: dict[tuple[int, int], FaceReport] = {}
    for entry in (*first.faces.skipped, *second.faces.skipped):
        number = (entry.face.frame, entry.face.index)
        if number not in there:
            gone.setdefault(number, entry)
    batch = replace(first.faces, faces=tuple(faces[place] for place in order), skipped=tuple(gone.values()))
    images = torch.cat([first.images, second.images.to(first.images)])[order]
    to_crop = torch.cat([first.to_crop, second.to_crop])[order]
    if first.identity is None or second.identity is None:
        return FaceCrops(images, batch, to_crop)
    similarity = (*first.identity, *second.identity)
    return FaceCrops(images, batch, to_crop, tuple(similarity[place] for place in order))


def resized(crops: FaceCrops, side: int) -> FaceCrops:
    """The same crops at `side` pixels."""
    if crops.size == side:
        return crops
    images = F.interpolate(crops.images, (side, side), mode="bicubic", antialias=True).clamp(0, 1)
    return replace(crops.with_images(images), identity=crops.identity)

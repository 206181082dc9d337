"""Whether a restored face is still the same person: cosine similarity of face embeddings before and after."""

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..batches import in_batches
from ..errors import ImageError
from ..faces import Face, FaceCrops
from ..geometry.align import ffhq_template, warp
from ..geometry.similarity import least_squares
from .embedders import Embedder

ARCFACE_TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Where the landmarks lie in the 112x112 faces that ArcFace and its kin were trained on (insightface's figures)."""

SIZE = 112
AT_ONCE = 16


def check_identity(
    embedder: Embedder | None, source: FaceCrops, restored: FaceCrops, min_identity: float = 0.0
) -> FaceCrops:
    """The restored crops with the identity of every face; those of less than `min_identity` are left out.

    Identity is the cosine similarity, -1..1, of the face's embeddings before and after. Without an embedder nothing is
    measured. min_identity: 0..1; 0 keeps every face. Raises ImageError where these are not crops of the same faces, or
    there is a least identity but nothing to measure it with.
    """
    if embedder is None:
        if min_identity > 0:
            raise ImageError("min_identity needs a face embedder that measures it: give one, or set it to 0.")
        return restored
    if restored.faces != source.faces:
        raise ImageError("The restored crops and the source crops are not of the same faces. Connect the same faces.")
    before, after = embed_crops(embedder, source), embed_crops(embedder, restored)
    identity = tuple(F.cosine_similarity(before, after).tolist())
    lost = {
        n: too_different(value, min_identity)
        for n, value in enumerate(identity)
        if min_identity > 0 and value < min_identity
    }
    return replace(restored, identity=identity).without(lost)


def too_different(identity: float, least: float) -> str:
    return f"identity {identity:.2f} is below {least:.2f}"


def identity_similarity(embedder: Embedder, crops: FaceCrops, reference: FaceCrops) -> list[float]:
    """How much every crop shows the person of the reference: cosine similarity, -1..1.

    reference: one face of that person, or several, whose embeddings are averaged. Raises ImageError where it is empty.
    """
    if not len(reference):
        raise ImageError("There is no face in the reference. Give a picture that shows the person's face.")
    person = F.normalize(embed_crops(embedder, reference)).mean(0, keepdim=True)
    similarity: list[float] = F.cosine_similarity(embed_crops(embedder, crops), person.to(crops.images)).tolist()
    return similarity


@torch.no_grad()
def embed_crops(embedder: Embedder, crops: FaceCrops) -> Tensor:
    """Embeddings [N,D] of the faces, aligned to the embedder's own template by their landmarks."""
    device = next(embedder.parameters(), crops.images).device

    def work(part: slice) -> Tensor:
        of_each = zip(crops.images[part], crops.faces.faces[part], crops.to_crop[part], strict=True)
        faces = [
            warp(image, least_squares(in_crop(face, to_crop), ARCFACE_TEMPLATE), (SIZE, SIZE))
            for image, face, to_crop in of_each
        ]
        return embedder(torch.stack(faces).to(device)).to(crops.images)

    parts = in_batches(len(crops), AT_ONCE, work)
    return torch.cat(parts) if parts else crops.images.new_empty(0, 1)


def embed_aligned(embedder: Embedder, images: Tensor) -> Tensor:
    """Embeddings [N,D] of images [N,3,S,S], 0..1, aligned to the FFHQ template. Differentiable, for losses."""
    return embedder(faces_of_aligned(images))


def faces_of_aligned(images: Tensor, moved: Tensor | None = None) -> Tensor:
    """What an embedder is shown [N,3,112,112] of images [N,3,S,S], 0..1, aligned to the FFHQ template.

    moved: where each of its pixels comes to lie, a matrix [2,3] (float64); None where they belong.
    """
    to_template = least_squares(ffhq_template(images.shape[-1]), ARCFACE_TEMPLATE)
    if moved is not None:
        to_template = moved[:, :2] @ to_template.double() + F.pad(moved[:, 2:], (2, 0))
    return warp(images.flatten(0, 1), to_template, (SIZE, SIZE)).unflatten(0, (-1, 3))


def in_crop(face: Face, to_crop: Tensor) -> np.ndarray:
    """A face's landmarks [5,2] in pixels of its crop."""
    matrix = to_crop.numpy()
    return np.array(face.landmarks) @ matrix[:, :2].T + matrix[:, 2]

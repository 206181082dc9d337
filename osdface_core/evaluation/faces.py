"""Whether a restored face is still that face: identity and landmarks. Images are aligned crops [N,3,S,S], 0..1."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..detection.detector import RetinaFace
from ..recognition.embedders import Embedder
from ..recognition.identity import embed_aligned


@torch.no_grad()
def identity(embedder: Embedder, images: Tensor, target: Tensor) -> Tensor:
    """[N]: cosine similarity of the faces' embeddings, -1..1."""
    return F.cosine_similarity(embed_aligned(embedder, images), embed_aligned(embedder, target))


def degrees(similarity: Tensor) -> Tensor:
    """The same as an angle: the paper's Deg. where the embedder is its ArcFace."""
    return similarity.clamp(-1, 1).acos().rad2deg()


def landmark_distance(detector: RetinaFace, images: Tensor, target: Tensor) -> Tensor:
    """[N]: mean distance of the five landmarks, in pixels of a 512 px crop. NaN where no face is seen in either.

    The paper's LMD is over 68 landmarks of another detector, so its figures are not to be compared with these.
    """
    found = [largest_landmarks(detector, batch) for batch in (images, target)]
    return (found[0] - found[1]).norm(dim=-1).mean(-1) * 512 / images.shape[-1]


def largest_landmarks(detector: RetinaFace, images: Tensor) -> Tensor:
    """[N,5,2], NaN where there is no face."""
    rows = torch.full((len(images), 5, 2), float("nan"))
    faces = detector.detect(images, threshold=0.5)
    for face in sorted(faces, key=lambda face: face.box[2] - face.box[0]):
        rows[face.frame] = torch.tensor(face.landmarks)
    return rows

"""Identity by many looks: faces turned, moved, mirrored and blurred a little, so that no blind spot of one counts.

Seen straight on alone, a face can come to please the embedder that judges it without looking more like its person to
another.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..evaluation.perceptual import unit
from ..recognition.embedders import Embedder, MobileFaceNet
from ..recognition.identity import SIZE, faces_of_aligned

TURN, GROW, MOVE = math.radians(10), 0.1, 4.0
"""How far a look may be turned either way, enlarged or reduced, and moved in pixels of an embedder's input."""
MIRRORED, BLURRED = 0.5, 0.4
"""The shares of looks that are."""


@dataclass(frozen=True)
class Look:
    """One way to look at an aligned face. As it is, straight on."""

    turn: float = 0.0
    scale: float = 1.0
    x: float = 0.0
    y: float = 0.0
    mirrored: bool = False
    blurred: bool = False

    def at(self, images: Tensor) -> Tensor:
        """What an embedder is shown [N,3,112,112] of images [N,3,S,S], 0..1, aligned to the FFHQ template."""
        faces = faces_of_aligned(images, self.matrix())
        if self.mirrored:
            faces = faces.flip(-1)
        if self.blurred:
            faces = F.interpolate(F.avg_pool2d(faces, 2), scale_factor=2, mode="bilinear")
        return faces

    def matrix(self) -> Tensor:
        """[2,3] (float64): turned and scaled about the middle of an embedder's input, then moved."""
        middle = (SIZE - 1) / 2
        cos, sin = self.scale * math.cos(self.turn), self.scale * math.sin(self.turn)
        right = middle - (cos - sin) * middle + self.x
        down = middle - (sin + cos) * middle + self.y
        return torch.tensor([[cos, -sin, right], [sin, cos, down]], dtype=torch.float64)


def random_look() -> Look:
    turn, grow, x, y = (2 * torch.rand(4) - 1).tolist()
    mirrored, blurred = torch.rand(2).tolist()
    return Look(turn * TURN, 1 + grow * GROW, x * MOVE, y * MOVE, mirrored < MIRRORED, blurred < BLURRED)


def unlike(embedder: Embedder, images: Tensor, target: Tensor, look: Look) -> tuple[Tensor, Tensor]:
    """How far images [N,3,S,S] are from showing the people of `target`: two means over the batch.

    By the embeddings, 1 - cosine similarity, 0..2; and by an embedder's feature maps, which only a MobileFaceNet tells.
    """
    with torch.no_grad():
        person, wanted = seen(embedder, look.at(target))
    embedding, features = seen(embedder, look.at(images))
    apart = 1 - F.cosine_similarity(embedding, person)
    by_map = [(ours - theirs).square().sum(1).mean() for ours, theirs in zip(features, wanted, strict=True)]
    return apart.mean(), torch.stack(by_map).mean() if by_map else apart.new_zeros(())


def seen(embedder: Embedder, faces: Tensor) -> tuple[Tensor, list[Tensor]]:
    if not isinstance(embedder, MobileFaceNet):
        return embedder(faces), []
    maps = embedder.maps(faces)
    return embedder.embed(maps[-1]), [unit(features) for features in maps]

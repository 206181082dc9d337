"""What training minimises, beside plain differences. Images are [N,3,H,W], 0..1; losses are means over the batch."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..evaluation.perceptual import Distance

Losses = dict[str, Tensor]
"""Weighted parts by name, each a scalar; their sum is minimised."""


def edges(images: Tensor) -> Tensor:
    """[N,1,H,W]: the strength of the Sobel gradient of the mean of the channels (paper eq. 11)."""
    grey = images.mean(1, keepdim=True)
    across = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]], device=images.device)
    kernels = torch.stack([across, across.T])[:, None].to(grey.dtype)
    return F.conv2d(grey, kernels, padding=1).square().sum(1, keepdim=True).add(1e-6).sqrt()


def edge_aware(distance: Distance, images: Tensor, target: Tensor) -> Tensor:
    """[N]: the distance of the images plus that of their edges (EA-DISTS where `distance` is DISTS)."""
    return distance(images, target) + distance(edges(images).expand(-1, 3, -1, -1), edges(target).expand(-1, 3, -1, -1))


def association(hq: Tensor, lq: Tensor, scale: Tensor) -> Tensor:
    """How well every cell's feature of a degraded photo [N,P,C] finds that of the good one [N,P,C] in the whole batch.

    Symmetric cross-entropy over the cosine similarities times exp(`scale`), the diagonal being right (paper eq. 4).
    """
    hq, lq = (F.normalize(features.flatten(0, 1).float(), dim=-1) for features in (hq, lq))
    logits = hq @ lq.T * scale.exp()
    right = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    return (F.relu(1 - real).mean() + F.relu(1 + fake).mean()) / 2


def binary_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    return (F.softplus(-real).mean() + F.softplus(fake).mean()) / 2


def adaptive_weight(fidelity: Tensor, adversarial: Tensor, last_layer: nn.Parameter) -> Tensor:
    """How much the adversarial loss has to count for both to pull equally hard at the last layer (VQGAN, eq. 7)."""
    pulls = [
        torch.autograd.grad(loss, last_layer, retain_graph=True)[0].float().norm() for loss in (fidelity, adversarial)
    ]
    return (pulls[0] / (pulls[1] + 1e-4)).clamp(0, 1e4).detach()

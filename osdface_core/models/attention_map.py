"""Where on the face the UNet attends to each token of the visual prompt (the paper's Figure 4): maps and a picture."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..networks.layers import apply_linear
from ..networks.transformer import Attention, TransformerBlock
from .one_step import OneStep

COLORS = (0.05, 0.03, 0.3), (0.55, 0.1, 0.5), (0.95, 0.45, 0.2), (1.0, 0.95, 0.6)
"""From no attention to the most."""

SHOWN = 8
"""Tokens in a picture, beside the face."""


@torch.no_grad()
def attention_maps(one_step: OneStep, unet: nn.Module, images: Tensor, embeds: Tensor, side: int = 64) -> Tensor:
    """How much each place of a face attends to each token: [N,T,side,side], 0..1; the tokens of a place sum to 1.

    one_step: of the model whose UNet `unet` is. images: aligned faces [N,3,S,S], 0..1. embeds: their prompts [N,T,D].
    The mean of all heads and of all cross-attentions of the UNet, each enlarged to `side`. It costs a pass of the VAE's
    encoder and of the UNet; where nobody asks, nothing.
    """
    with recorded(unet) as maps:
        latents = one_step.encode(2 * images - 1, None)
        one_step.predict_noise(latents, one_step.timestep, embeds)
    enlarged = [F.interpolate(part, (side, side), mode="bilinear", align_corners=False) for part in maps]
    return torch.stack(enlarged).mean(0).cpu()


@contextmanager
def recorded(unet: nn.Module) -> Iterator[list[Tensor]]:
    """Within, every cross-attention to a prompt adds its weights to the list: [N,T,h,w], the mean of its heads."""
    maps: list[Tensor] = []
    watched = [part.attn2 for part in unet.modules() if isinstance(part, TransformerBlock)]
    hooks = [
        layer.register_forward_pre_hook(lambda layer, given: maps.append(weights(layer, *given))) for layer in watched
    ]
    try:
        yield maps
    finally:
        for hook in hooks:
            hook.remove()


def weights(layer: Any, x: Tensor, context: Tensor) -> Tensor:
    """What an `Attention` makes of the places of a square image [N,h*w,C] and a prompt [N,T,D]: [N,T,h,w], float32."""
    assert isinstance(layer, Attention)
    query = apply_linear(layer.ops, layer.to_q, x).unflatten(2, (layer.heads, -1)).transpose(1, 2).float()
    key = apply_linear(layer.ops, layer.to_k, context).unflatten(2, (layer.heads, -1)).transpose(1, 2).float()
    side = round(x.shape[1] ** 0.5)
    total = sum(
        torch.softmax(query[:, head] @ key[:, head].mT / query.shape[-1] ** 0.5, dim=-1) for head in range(layer.heads)
    )
    assert isinstance(total, Tensor)
    return (total / layer.heads).mT.unflatten(2, (side, side))


def attention_picture(images: Tensor, maps: Tensor) -> Tensor:
    """The faces [N,3,S,S], 0..1, each beside the eight tokens that it attends to most unevenly: [N,3,3S,3S].

    A token's map goes from dark (least) to bright (most attention that it gets in this face).
    """
    count, _, side, _ = images.shape
    spread = maps.flatten(2).std(-1) / maps.flatten(2).mean(-1).clamp(min=1e-9)
    chosen = spread.topk(min(SHOWN, maps.shape[1]), dim=1).indices
    cells = [images]
    for place in range(SHOWN):
        if place < chosen.shape[1]:
            own = maps[torch.arange(count), chosen[:, place]][:, None]
            heat = F.interpolate(own, (side, side), mode="bilinear", align_corners=False)
            low, high = heat.amin((2, 3), keepdim=True), heat.amax((2, 3), keepdim=True)
            cells.append(0.45 * images + 0.55 * colored((heat - low) / (high - low).clamp(min=1e-9)))
        else:
            cells.append(torch.zeros_like(images))
    rows = [torch.cat(cells[start : start + 3], dim=3) for start in range(0, SHOWN + 1, 3)]
    return torch.cat(rows, dim=2)


def colored(heat: Tensor) -> Tensor:
    """[N,1,S,S], 0..1 -> [N,3,S,S]."""
    colors = torch.tensor(COLORS).to(heat)
    place = heat[:, 0] * (len(COLORS) - 1)
    lower = place.floor().clamp(max=len(COLORS) - 2).long()
    return torch.lerp(colors[lower], colors[lower + 1], (place - lower)[..., None]).permute(0, 3, 1, 2)

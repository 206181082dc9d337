"""Where a network's layers come from, and how their weights are read: PyTorch's own, or a host's."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn


@contextmanager
def cast(layer: Any, like: Tensor) -> Iterator[tuple[Tensor, Tensor | None]]:
    """The weight and bias of a layer, in the precision of `like` (weights may be stored in another one)."""
    yield layer.weight.to(like.dtype), None if layer.bias is None else layer.bias.to(like.dtype)


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Attention of queries [N,Q,C] over keys and values [N,K,C] in so many heads: [N,Q,C]."""
    q, k, v = (part.unflatten(2, (heads, -1)).transpose(1, 2) for part in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


@dataclass(frozen=True)
class Operations:
    """What networks are built with. A host with a memory management of its own hands in layers that know it."""

    Conv2d: type[nn.Conv2d] = nn.Conv2d
    Linear: type[nn.Linear] = nn.Linear
    GroupNorm: type[nn.GroupNorm] = nn.GroupNorm
    LayerNorm: type[nn.LayerNorm] = nn.LayerNorm
    parameters: Callable[[nn.Module, Tensor], AbstractContextManager[tuple[Tensor, Tensor | None]]] = cast
    """A layer's weight and bias as its input needs them, for as long as the context lasts."""
    attention: Callable[[Tensor, Tensor, Tensor, int], Tensor] = attend


TORCH = Operations()
"""PyTorch's own layers."""

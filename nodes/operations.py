"""ComfyUI's layers for our networks: weights stay wherever its memory management has them, and are cast where used."""

from collections.abc import Iterator
from contextlib import contextmanager

import comfy.model_management
import comfy.ops
from comfy.ldm.modules.attention import optimized_attention
from torch import Tensor, nn

from ..osdface_core.networks.operations import Operations, attend, cast


class Linear(comfy.ops.manual_cast.Linear):
    """ComfyUI's, but with weights of its own from the start, as files are checked against."""

    def _load_from_state_dict(self, *arguments: object) -> None:  # what ComfyUI tells by whether it may leave them out
        nn.Linear._load_from_state_dict(self, *arguments)


@contextmanager
def parameters(layer: nn.Module, like: Tensor) -> Iterator[tuple[Tensor, Tensor | None]]:
    """A layer's weight and bias on the device of `like`, in its precision; a user's interrupt ends the work here."""
    comfy.model_management.throw_exception_if_processing_interrupted()
    if not isinstance(layer, comfy.ops.CastWeightBiasOp):
        with cast(layer, like) as own:
            yield own
        return
    weight, bias, lent = comfy.ops.cast_bias_weight(layer, like, offloadable=True)
    try:
        yield weight, bias
    finally:
        comfy.ops.uncast_bias_weight(layer, weight, bias, lent)


def attention(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """The attention that ComfyUI was started with; in float32, where somebody wants it exact, PyTorch's."""
    if q.dtype.itemsize > 2:
        return attend(q, k, v, heads)
    attended: Tensor = optimized_attention(q, k, v, heads)
    return attended


COMFYUI = Operations(Conv2d=comfy.ops.manual_cast.Conv2d, Linear=Linear, parameters=parameters, attention=attention)
"""Norms are PyTorch's own. They are small enough to stay on the device, and read while a convolution's weight is lent,
for which ComfyUI may have one buffer only."""

"""The brightness of colours."""

from torch import Tensor

LUMA = (0.299, 0.587, 0.114)
"""Red, green and blue of brightness (ITU-R BT.601)."""


def luma(images: Tensor) -> Tensor:
    """The brightness of [N,3,H,W]: [N,1,H,W]."""
    return (images * images.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)

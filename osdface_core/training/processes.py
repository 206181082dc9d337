"""Processes that train together: what goes wrong in one ends all."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from ..errors import OSDFaceError

if TYPE_CHECKING:
    from accelerate import Accelerator


@contextmanager
def together(accelerator: "Accelerator") -> Iterator[None]:
    """Whatever is done within has gone well in all processes, or all of them raise: none waits for one that is gone.

    Every process has to come here. The one that failed raises its own error, the others an OSDFaceError.
    """
    try:
        yield
    except Exception:
        anywhere(accelerator, True)
        raise
    if anywhere(accelerator, False):
        raise OSDFaceError("Another process of this training failed: its message says why.")


def anywhere(accelerator: "Accelerator", here: bool) -> bool:
    """Whether something is so in any process."""
    flag = torch.tensor(float(here), device=accelerator.device)
    return bool(accelerator.reduce(flag, "sum") > 0)

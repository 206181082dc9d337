"""Where a model's parts are: all of them on the device, or, on a small card, one after the other."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ..devices import free_bytes, pinned, upload
from ..models.diffusion import OneStepModel
from ..options import Placement
from .memory import SPARE, face_bytes, weight_bytes


def in_parts(model: OneStepModel, device: torch.device, placement: Placement) -> bool:
    """Whether `model` is to be on `device` part by part: "auto" where a graphics card has no room for the whole model
    and one face."""
    free = free_bytes(device)
    if placement == "auto":
        return free is not None and weight_bytes(model) + face_bytes(model) + SPARE > free
    return placement == "parts"


class Offload:
    """Parts of which one at a time is on the device. The others stay where they are: nothing is ever copied back."""

    def __init__(self, parts: dict[str, list[nn.Module]], device: torch.device):
        self.parts, self.device = parts, device
        self.away: list[tuple[nn.Parameter, Tensor]] = []
        """The parameters on the device, and what they are at home."""
        self.present: str | None = None
        if device.type == "cuda":  # from where the host need not wait for copies
            for parameter in (p for modules in parts.values() for p in parameters(modules)):
                parameter.data = pinned(parameter.data)

    def onload(self, part: str) -> None:
        """Put `part` on the device, in the place of the one that is there. All of it, or nothing."""
        if part == self.present:
            return
        self.clear()
        for parameter in parameters(self.parts[part]):
            home = parameter.data
            there = upload(home, self.device)
            parameter.data = home.clone() if there is home else there
            self.away.append((parameter, home))
        self.present = part

    def clear(self) -> None:
        """Leave nothing on the device."""
        for parameter, home in self.away:
            parameter.data = home
        self.away, self.present = [], None


def parameters(modules: Iterable[nn.Module]) -> Iterable[nn.Parameter]:
    return (parameter for module in modules for parameter in module.parameters())

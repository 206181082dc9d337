"""A small face detector, which learns from a better-read one what it makes of composed scenes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..detection.detector import RetinaFace
from ..detection.load import load_retinaface
from ..detection.overlay import draw_numbers
from ..limits import within
from ..models.osdface import ModelConfig
from ..networks.retinaface import RetinaFaceConfig, RetinaFaceNet
from ..weights.files import write_tensors
from .losses import Losses
from .stage import Batch, Stage


@dataclass(frozen=True)
class DetectorConfig:
    teacher: str
    """A RetinaFace's weights, of the mobile0.25 layout."""
    norms: int = 0
    """Steps in which norms learn their statistics, which then stay: a few pictures say little of them."""
    licences: str = ""
    notice: str = ""
    """What a user has to be told about these weights."""

    def __post_init__(self) -> None:
        """Raises ValueError."""
        within(self, norms=(0, inf))


class DetectorStage(Stage):
    """RetinaFace (mobile0.25), taught layer by layer: each gets what the teacher's layers before it make of
    a picture, and has to make of it what the teacher's does."""

    def __init__(self, _model: ModelConfig, config: DetectorConfig):
        super().__init__()
        self.config = config
        self.teacher, _ = load_retinaface(config.teacher)
        student = cast(Any, RetinaFaceNet(RetinaFaceConfig("mobile0.25")))
        self.student = student.to(memory_format=torch.channels_last)

    def losses(self, batch: Batch, step: int) -> Losses:
        """How much of what each layer of the teacher makes of the picture the student's does not, by part."""
        for module in self.student.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.training = self.training and step < self.config.norms
        with torch.no_grad(), watched(self.teacher) as seen:
            self.teacher(self.prepared(batch["lq"]))
        apart: dict[str, list[Tensor]] = {}
        for name, layer in layers(self.student):
            given, wanted = seen[name]
            apart.setdefault(name.partition(".")[0], []).append(share_unexplained(layer(given), wanted))
        return {part: torch.stack(shares).mean() for part, shares in apart.items()}

    def discriminator_losses(self, step: int) -> Losses:
        return {}

    def prepared(self, images: Tensor) -> Tensor:
        """[N,3,H,W] RGB, 0..1 -> BGR around the network's mean."""
        return self.teacher.prepare(images).contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def pictures(self, batch: Batch) -> Tensor:
        """What the student sees, and below it what the teacher sees."""
        rows = [
            draw_numbers(batch["lq"], RetinaFace(network).detect(batch["lq"], short_side=(1, 10**5)))
            for network in (self.student, self.teacher)
        ]
        return torch.stack(rows)

    def save(self, folder: Path) -> None:
        """`detector.safetensors` in facexlib's layout and half precision, for `load_detector`."""
        tensors = {
            key: value.half().contiguous() if value.is_floating_point() else value
            for key, value in self.student.state_dict().items()
        }
        metadata = {"licences": self.config.licences, "notice": self.config.notice}
        write_tensors(folder / "detector.safetensors", tensors, metadata)


def layers(network: nn.Module) -> Iterator[tuple[str, nn.Sequential]]:
    """Every convolution, with the norm that follows it if there is one, by name."""
    for name, module in network.named_modules():
        children = list(module.children())
        for n, child in enumerate(children):
            if isinstance(child, nn.Conv2d):
                norm = [it for it in children[n + 1 : n + 2] if isinstance(it, nn.BatchNorm2d)]
                yield f"{name}.{n}", nn.Sequential(child, *norm)


@contextmanager
def watched(network: nn.Module) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """What every layer was given and what it made of it, by name, once the network has run within."""
    seen: dict[str, tuple[Tensor, Tensor]] = {}
    given: dict[str, Tensor] = {}
    hooks = []
    for name, layer in layers(network):

        def before(_layer: nn.Module, inputs: Any, name: str = name) -> None:
            given[name] = inputs[0]

        def after(_layer: nn.Module, _inputs: Any, made: Tensor, name: str = name) -> None:
            seen[name] = given.pop(name), made.clone()  # an activation in place comes next

        hooks += [layer[0].register_forward_pre_hook(before), layer[-1].register_forward_hook(after)]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def share_unexplained(ours: Tensor, theirs: Tensor) -> Tensor:
    """Squared difference of maps [N,C,H,W] by variance, the mean over the channels."""
    variance = theirs.var((0, 2, 3))
    difference = (ours.float() - theirs).square().mean((0, 2, 3))
    return (difference / (variance + 0.02 * variance.mean())).mean()

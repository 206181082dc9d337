"""A small face detector, which learns from a larger or better-read one what it sees in composed scenes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from ..detect import RetinaFace
from ..detectors import load_detector, new_network
from ..model import ModelConfig
from ..overlay import draw_numbers
from ..whole_file import whole_file
from .losses import Losses
from .stage import Batch, Stage


@dataclass(frozen=True)
class DetectorConfig:
    teacher: str
    """A RetinaFace's weights: of this layout, or the ResNet50 one without `blocks` and `features`."""
    start: str | None = None
    """Weights to go on from; None: new ones."""
    blocks: bool = False
    """Teach each block by itself, on what the teacher's blocks before it see: shallow, and soon learnt."""
    norms: int = 0
    """Steps in which new norms learn their statistics, which then stay: a few pictures say little of them."""
    features: float = 1.0
    """Weight of the difference to what the teacher's blocks make of the picture."""
    shown: str = "hq"
    """The scene that the teacher sees: "hq", as it is, or "lq", the degraded one that the student sees, too."""
    licences: str = ""


class DetectorStage(Stage):
    """facexlib's RetinaFace (mobile0.25), taught on every anchor: what the teacher sees in the good scene, the student
    shall see in the degraded one."""

    def __init__(self, _model: ModelConfig, config: DetectorConfig):
        super().__init__()
        self.config = config
        self.teacher: Any = load_detector(config.teacher).network.requires_grad_(False)
        self.student: Any = load_detector(config.start).network if config.start else new_network("mobile0.25")
        self.student.requires_grad_(True).to(memory_format=torch.channels_last)
        norms = [module for module in self.student.modules() if isinstance(module, nn.BatchNorm2d)]
        self.old_norms = [norm for norm in norms if norm.num_batches_tracked]
        self.new_norms = [norm for norm in norms if not norm.num_batches_tracked]
        self.mean: Tensor
        self.register_buffer("mean", self.teacher.mean_tensor, persistent=False)

    def losses(self, batch: Batch, step: int) -> Losses:
        for norm in self.old_norms:
            norm.training = False
        for norm in self.new_norms:
            norm.training = self.training and step < self.config.norms
        return self.losses_of_blocks(batch) if self.config.blocks else self.losses_of_sight(batch)

    def losses_of_blocks(self, batch: Batch) -> Losses:
        """How much of what each block of the teacher makes of the picture the student's does not, by part."""
        with torch.no_grad(), torch.autocast(batch["lq"].device.type, enabled=False), watched(self.teacher) as seen:
            outputs(self.teacher, self.prepared(batch["lq"]))
        apart: dict[str, list[Tensor]] = {}
        for name, block in blocks(self.student):
            given, wanted = seen[name]
            apart.setdefault(name.partition(".")[0], []).append(share_unexplained(block(given), wanted))
        return {part: torch.stack(shares).mean() for part, shares in apart.items()}

    def losses_of_sight(self, batch: Batch) -> Losses:
        shown = batch[self.config.shown]
        with torch.no_grad(), torch.autocast(shown.device.type, enabled=False), watched(self.teacher) as theirs:
            wanted = outputs(self.teacher, self.prepared(shown))
        with watched(self.student) as ours:
            found = outputs(self.student, self.prepared(batch["lq"]))
        face = wanted[0].softmax(-1)[..., 1]
        weight = face / face.sum().clamp(min=1)
        losses = {"score": quality_focal_loss(found[0], face) / face.sum().clamp(min=1)}
        for name, made, true in zip(("box", "landmarks"), found[1:], wanted[1:], strict=True):
            distance = F.smooth_l1_loss(made.float(), true, reduction="none", beta=0.1).mean(-1)
            losses[name] = (weight * distance).sum()
        if self.config.features:
            maps = [name for name in ours if name.startswith(("body.", "fpn."))]
            apart = [share_unexplained(ours[name][1], theirs[name][1]) for name in maps]
            losses["features"] = self.config.features * torch.stack(apart).mean()
        return losses

    def critic_losses(self, step: int) -> Losses:
        return {}

    def prepared(self, images: Tensor) -> Tensor:
        """[N,3,H,W] RGB, 0..1 -> BGR around the network's mean."""
        return (images.flip(1) * 255 - self.mean).contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def pictures(self, batch: Batch) -> Tensor:
        """What the student sees, and below it what the teacher sees."""
        rows = []
        for key, network in (("lq", self.student), ("hq", self.teacher)):
            with torch.autocast(batch[key].device.type, enabled=False):
                faces = RetinaFace(network).detect(batch[key], short_side=(1, 10**5))
            rows.append(draw_numbers(batch[key], faces))
        return torch.stack(rows)

    def save(self, folder: Path) -> None:
        """`detector.safetensors` in facexlib's layout and half precision, for `load_detector`."""
        tensors = {
            key: value.half().contiguous() if value.is_floating_point() else value
            for key, value in self.student.state_dict().items()
        }
        metadata = {"licences": self.config.licences}
        with whole_file(folder / "detector.safetensors") as partial:
            save_file(tensors, partial, metadata)


def blocks(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules that hold convolutions with their norms, by name."""
    for name, module in network.named_modules():
        if any(isinstance(child, nn.Conv2d) for child in module.children()):
            yield name, module


@contextmanager
def watched(network: nn.Module) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """What every block was given and what it made of it, by name, once the network has run within."""
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def keep(name: str) -> Any:
        return lambda _block, inputs, output: seen.update({name: (inputs[0], output)})

    hooks = [block.register_forward_hook(keep(name)) for name, block in blocks(network)]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def share_unexplained(ours: Tensor, theirs: Tensor) -> Tensor:
    """Squared difference of maps [N,C,H,W], or of anchors [N,A,C], by variance: the mean over the channels."""
    dims = (0, 2, 3) if theirs.ndim == 4 else (0, 1)
    variance = theirs.var(dims)
    difference = (ours.float() - theirs).square().mean(dims)
    return (difference / (variance + 0.02 * variance.mean())).mean()


def outputs(network: Any, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Every anchor's logits [N,A,2], box [N,A,4] and landmarks [N,A,10]."""
    pyramid = network.fpn(list(network.body(images).values()))
    contexts = [
        context(level) for context, level in zip((network.ssh1, network.ssh2, network.ssh3), pyramid, strict=True)
    ]
    heads = (network.ClassHead, network.BboxHead, network.LandmarkHead)
    logits, boxes, landmarks = (
        torch.cat([head(context) for head, context in zip(kind, contexts, strict=True)], dim=1) for kind in heads
    )
    return logits, boxes, landmarks


def quality_focal_loss(logits: Tensor, face: Tensor) -> Tensor:
    """Cross entropy of logits [N,A,2] with the teacher's share of a face [N,A], anchors that agree counting little.

    Li et al. 2020, arXiv 2006.04388, eq. 3 with an exponent of 1; the sum over all anchors.
    """
    ours = logits.float().log_softmax(-1)
    entropy = -(face * ours[..., 1] + (1 - face) * ours[..., 0])
    return ((ours[..., 1].detach().exp() - face).abs() * entropy).sum()

"""GAN and codebook restorers of spandrel's behind the same door as OSDFace: GFPGAN, RestoreFormer, CodeFormer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..batches import OnBatch, in_passes
from ..devices import download, free_bytes, upload
from ..errors import ImageError, OptionError
from ..faces import FaceCrops
from ..models.one_step import check_restored
from ..models.precision import DTYPES, NAMES
from ..models.vre import Prompts
from ..options import Load, Restore
from ..weights.spandrel import Descriptor, read_restorer
from .memory import that_fit

USUAL_SIDE = 512
"""All of them are trained on FFHQ's faces at this size."""

HELD = 0.72e9
"""Bytes that a face of 512 pixels a side holds while one of them computes in float32, at most, by
`benchmarks/restorers.py`."""


class FaceNetwork(nn.Module):
    """Crops [N,3,S,S], 0..1, to restored ones of S times the network's scale, 0..1.

    spandrel's descriptor says which sizes and precisions it takes, and its call which range. GFPGAN and CodeFormer are
    called as their authors do: on -1..1, as they were trained (GFPGAN's `gfpgan/utils.py`, CodeFormer's
    `inference_codeformer.py`), where that call would give them 0..1; and GFPGAN with the noise in its file instead of
    new noise each time, so that the same face always gives the same.
    """

    notice = ""

    def __init__(self, descriptor: Descriptor):
        super().__init__()
        self.descriptor, self.network = descriptor, descriptor.model
        self.name: str = descriptor.architecture.name
        self.crop_size: int = USUAL_SIDE + descriptor.size_requirements.get_padding(USUAL_SIDE, USUAL_SIDE)[0]
        calls: dict[str, Callable[[Tensor, float], Any]] = {
            "GFPGAN": lambda images, _fidelity: self.network(images, return_rgb=False, randomize_noise=False),
            "CodeFormer": lambda images, fidelity: self.network(images, weight=fidelity),
        }
        self.call = calls.get(descriptor.architecture.id)

    @property
    def takes_fidelity(self) -> bool:
        return self.name == "CodeFormer"

    def forward(self, images: Tensor, fidelity: float) -> Tensor:
        if images.shape[-1] != self.crop_size:
            size = (self.crop_size, self.crop_size)
            images = F.interpolate(images, size, mode="bicubic", antialias=True).clamp(0, 1)
        images = images.to(self.descriptor.dtype)
        made = self.descriptor(images) if self.call is None else self.call(2 * images - 1, fidelity)[0] / 2 + 0.5
        return made.float().clamp(0, 1)

    @property
    def face_bytes(self) -> float:
        """What one face takes while it computes."""
        return HELD * self.descriptor.dtype.itemsize / 4 * (self.crop_size / USUAL_SIDE) ** 2

    @property
    def precisions(self) -> list[torch.dtype]:
        """What it may be stored and computed in, best first."""
        about = self.descriptor
        halves = {torch.bfloat16: about.supports_bfloat16, torch.float16: about.supports_half}
        return [torch.float32, *(dtype for dtype, supported in halves.items() if supported)]


class SpandrelRestorer:
    """A face network of spandrel's as a `Restorer`, where it was loaded to."""

    def __init__(self, network: FaceNetwork):
        self.network, self.notice, self.crop_size = network, network.notice, network.crop_size
        self.options = frozenset({"batch_size", "fidelity"} if network.takes_fidelity else {"batch_size"})

    def ready(self, faces: int) -> FaceNetwork:
        """The network, ready for so many faces at once."""
        return self.network

    def at_once(self, faces: int, batch_size: int | None = None) -> int:
        device = self.network.descriptor.device
        most = 1 if device.type == "cpu" else that_fit(self.network.face_bytes, free_bytes(device))
        return max(1, min(batch_size or most, faces))

    @torch.no_grad()
    def restore(
        self, crops: FaceCrops, options: Restore, *, prompts: Prompts | None = None, on_batch: OnBatch | None = None
    ) -> FaceCrops:
        """Every crop restored, at the network's own size; the results stay where the crops are."""
        options.validate()
        if prompts is not None:
            raise ImageError(f"{self.network.name} takes no prompt. Disconnect it, or take OSDFace for the model.")
        size = self.at_once(len(crops), options.batch_size)
        network = self.ready(size)
        device, side = network.descriptor.device, network.crop_size * network.descriptor.scale
        images = crops.images.new_empty(len(crops), 3, side, side)

        def begin(part: slice) -> Callable[[], Tensor]:
            made = network(upload(crops.images[part], device), options.fidelity)
            return download(made) if images.device.type == "cpu" else lambda: made

        def finish(part: slice, wait: Callable[[], Tensor]) -> bool:
            images[part] = wait().to(images)
            return True

        in_passes(len(crops), size, begin, finish, on_batch, ahead=0 if device.type == "cpu" else 1)
        return crops.with_images(check_restored(images))


def load_restorer(
    weights: str | Path, *, device: str | torch.device = "cpu", precision: str = "auto"
) -> SpandrelRestorer:
    """The face restorer in a file, ready on `device`: any that spandrel knows.

    weights: the file, or its name in the catalogue ("gfpgan", "restoreformer").
    precision: "auto" (float32), "fp32", "bf16" or "fp16", if the network is made for it.
    Raises a WeightsError that says what is wrong with the file, MissingLibraryError, and OptionError for a device that
    is not there or a precision that cannot be.
    """
    Load(str(device)).validate()
    network = FaceNetwork(read_restorer(weights))
    allowed = {NAMES[dtype]: dtype for dtype in network.precisions}
    if precision not in ("auto", *allowed):
        wrong = "is not made for it" if precision in DTYPES else "is stored in one precision"
        problem = f"{network.name} {wrong}. Choose one of auto, {', '.join(allowed)}"
        raise OptionError("precision", precision, problem)
    network.descriptor.to(torch.device(device), allowed.get(precision, torch.float32))
    return SpandrelRestorer(network)

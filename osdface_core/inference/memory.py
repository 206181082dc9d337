"""What restoring takes of a device's memory."""

from torch import nn

from ..devices import free_bytes
from ..models.diffusion import OneStepModel
from ..models.osdface import OSDFaceModel

HELD = {"vre": 0.21e9, "encode": 0.41e9, "unet": 0.14e9, "decode": 0.67e9}
"""Bytes that each part holds for a face of 512x512 pixels while it computes in float32, by `benchmarks/memory.py`.
They grow with faces and pixels, and are half in half precision."""
SPARE = 0.5e9
"""What libraries take besides, and a margin."""
USUAL, MOST = 4, 8
"""Faces at once on a device whose memory cannot be asked about, and where memory would do for more: from there on time
no longer falls."""


def face_bytes(model: OneStepModel) -> float:
    """What one face takes at the most, in whichever part that is."""
    parts = {part: HELD[part] * dtype.itemsize / 4 for part, dtype in vars(model.precision).items()}
    if isinstance(model, OSDFaceModel):
        parts["vre"] = HELD["vre"]
    return max(parts.values()) * (model.config.crop_size / 512) ** 2


def weight_bytes(model: nn.Module) -> int:
    return sum(parameter.nbytes for parameter in model.parameters())


def faces_that_fit(model: OneStepModel, free: float | None, most: int = MOST) -> int:
    """How many faces go through `model` at once with `free` bytes beside its weights: at least 1, at most `most`."""
    return that_fit(face_bytes(model), free, most)


def that_fit(each: float, free: float | None, most: int = MOST) -> int:
    """How many faces of `each` so many bytes go together into `free` bytes: at least 1, at most `most`."""
    return min(USUAL, most) if free is None else int(min(max((free - SPARE) // each, 1), most))


def faces_at_once(model: OneStepModel) -> int:
    """How many faces to restore together on the model's device: on a CPU one, which takes the least memory
    and no more time."""
    device = model.device
    if device.type == "cpu":
        return 1
    free = free_bytes(device)
    if free is not None:  # what is still to come there
        free -= sum(parameter.nbytes for parameter in model.parameters() if parameter.device != device)
    return faces_that_fit(model, free)

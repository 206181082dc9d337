"""Face parsing through facexlib's ParseNet or BiSeNet: which pixel of a crop is skin, hair, glasses …"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..batches import OnBatch, in_batches
from ..errors import KeysError, NotACheckpointError, WeightsNotFoundError
from ..faces import FaceCrops, check_finite
from ..libraries import library
from ..options import Part, Paste
from ..weights.catalog import entry_of
from ..weights.files import fill, read_tensors
from ..weights.find import locate
from .masks import fade_inwards

PARSENET, BISENET = "parsing_parsenet.pth", "parsing_bisenet.pth"
"""The usual names of the weights' files."""

PARTS = {
    "background": (0, 0),
    "skin": (1, 1),
    "nose": (2, 10),
    "glasses": (3, 6),
    "left eye": (4, 4),
    "right eye": (5, 5),
    "left brow": (6, 2),
    "right brow": (7, 3),
    "left ear": (8, 7),
    "right ear": (9, 8),
    "mouth": (10, 11),
    "upper lip": (11, 12),
    "lower lip": (12, 13),
    "hair": (13, 17),
    "hat": (14, 18),
    "earring": (15, 9),
    "necklace": (16, 15),
    "neck": (17, 14),
    "clothes": (18, 16),
}
"""CelebAMask-HQ's parts of a picture: ParseNet's number, which is ours, and BiSeNet's."""

NOT_THE_FACE = ("background", "hat", "earring", "necklace", "neck", "clothes")
"""What is never restored, so that hands, microphones and cups in front of a face stay as they are."""


class FaceParser(nn.Module):
    """Crops [N,3,S,S], 0..1, to the number of the part [N,512,512] that each pixel belongs to, in ParseNet's order."""

    mean: Tensor
    std: Tensor
    order: Tensor

    def __init__(self, kind: str):
        super().__init__()
        self.network: Any
        if kind == "parsenet":
            self.network = library("facexlib.parsing.parsenet").ParseNet(
                in_size=512, out_size=512, parsing_ch=len(PARTS)
            )
            mean, std, order = [0.5] * 3, [0.5] * 3, [ours for ours, _ in PARTS.values()]
        else:
            self.network = library("facexlib.parsing.bisenet").BiSeNet(num_class=len(PARTS))
            mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
            order = sorted(range(len(PARTS)), key=[theirs for _, theirs in PARTS.values()].__getitem__)
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)
        self.register_buffer("order", torch.tensor(order), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        images = F.interpolate(images.to(self.mean), (512, 512), mode="bilinear", antialias=True)
        scores = self.network((images - self.mean) / self.std)[0]
        return self.order[scores.argmax(1)]


@torch.no_grad()
def parse_masks(
    parser: FaceParser | None,
    crops: FaceCrops,
    *,
    leave: Collection[Part] = Paste.leave,
    feather: float = Paste.feather,
    batch_size: int = 4,
    on_batch: OnBatch | None = None,
) -> Tensor | None:
    """Where each crop shows the face [N,512,512], 0..1, for `paste_faces`; None without a parser.

    Restored crops are parsed best; source crops show what covers a face that a restorer would paint over.

    leave: parts that stay as in the photo, such as "hair" or "glasses": names of `PARTS`.
    feather: 0..0.5, the width of the soft border inside the face, as a share of the crop's side.
    Raises OptionError for a part there is not, one to leave but no parser that finds it, or a feather out of its range,
    and ImageError for crops that are no numbers.
    """
    chosen = Paste(feather=feather, leave=leave)
    chosen.validate()
    chosen.check_tools(None, parser)
    check_finite(crops.images, "face crop")
    if parser is None:
        return None
    taken = torch.tensor([part not in (*NOT_THE_FACE, *leave) for part in PARTS], device=parser.mean.device)

    def work(part: slice) -> Tensor:
        return fade_inwards(taken[parser(crops.images[part])].float(), feather).to(crops.images.device)

    masks = in_batches(len(crops), batch_size, work, on_batch)
    return torch.cat(masks) if masks else crops.images.new_zeros(0, 512, 512)


def load_parser(weights: str | Path = "parsenet", *, device: str | torch.device = "cpu") -> FaceParser:
    """A parser from a weights file, in evaluation mode.

    weights: facexlib's ParseNet or BiSeNet; "parsenet" or "bisenet" for those wherever they are on this machine.
    Raises a WeightsError where the file is not there, or neither of these.
    """
    advice = entry_of(PARSENET).how_to_get
    path = locate(weights)
    if not path.is_file():
        raise WeightsNotFoundError(path, "there is no such face parser.", advice)
    tensors = read_tensors(path)[0]
    parser = FaceParser("bisenet" if any(key.startswith("cp.resnet.") for key in tensors) else "parsenet")
    try:
        fill(parser.network, tensors, path)
    except KeysError as error:
        raise NotACheckpointError(path, f"this is no face parser of facexlib ({error}).", advice) from error
    return parser.eval().requires_grad_(False).to(device)

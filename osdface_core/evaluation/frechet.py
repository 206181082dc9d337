"""FID: how far all results together are from real faces, in the features of InceptionV3, as torch-fidelity has it."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import MissingLibraryError, WeightsNotFoundError
from ..libraries import library
from ..weights.files import read_tensors
from .photographs import as_tensor, read_square
from .photosets import SYNTHETIC, listed

INCEPTION = "weights-inception-2015-12-05-6726825d.pth"
ADVICE = f"Get {INCEPTION} from torch-fidelity's releases and put it there."
AT_ONCE = 16
"""Photos."""


@dataclass(frozen=True, eq=False)
class Frechet:
    """A Fréchet distance from a set of photos. Needs thousands: of a few dozen it says next to nothing."""

    name: str
    originals: Sequence[Path]
    extractor: Any
    """Levels [N,3,H,W], uint8 -> a tuple of features [N,D]: one of torch-fidelity's."""

    def of(self, results: Sequence[Path], size: int) -> float:
        """The distance of these photos, brought to a size."""
        metric = library("torch_fidelity.metric_fid")
        statistics = metric.fid_features_to_statistics(self.features(results, size))
        found: dict[str, float] = metric.fid_statistics_to_metric(statistics, self.statistics(size), False)
        return found[metric.KEY_METRIC_FID]

    def statistics(self, size: int) -> Any:
        """Of the originals, once."""
        if size not in self.known:
            features = self.features(self.originals, size)
            self.known[size] = library("torch_fidelity.metric_fid").fid_features_to_statistics(features)
        return self.known[size]

    @cached_property
    def known(self) -> dict[int, Any]:
        return {}

    @torch.no_grad()
    def features(self, files: Sequence[Path], size: int) -> Tensor:
        """[N,D], float64."""
        found = []
        for start in range(0, len(files), AT_ONCE):
            images = torch.stack([as_tensor(read_square(file, size)) for file in files[start : start + AT_ONCE]])
            found.append(self.extractor((images * 255).round().byte())[0].double())
        return torch.cat(found)


def inception(weights: Path | None = None) -> Any:
    """torch-fidelity's InceptionV3, of 2048 features.

    weights: its file; left out, the one in PyTorch's own cache. Nothing is downloaded. Raises WeightsNotFoundError
    where it is not there, MissingLibraryError without torch-fidelity.
    """
    network = library("torch_fidelity.feature_extractor_inceptionv3").FeatureExtractorInceptionV3
    file = weights or Path(torch.hub.get_dir(), "checkpoints", INCEPTION)
    if not file.is_file():
        raise WeightsNotFoundError(file, "FID's InceptionV3 is not there.", ADVICE)
    with tempfile.TemporaryDirectory() as folder:  # the library unpickles what it is given: give it tensors alone
        plain = Path(folder, INCEPTION)
        torch.save(read_tensors(file)[0], plain)
        return network("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(plain))


def frechet(names: Sequence[str], originals: Path | None) -> tuple[list[Frechet], list[str]]:
    """The Fréchet distances among the names of measures, and a sentence for each that cannot be taken.

    names: "fid" is the distance from the set's own originals, "fid:FOLDER" from others. Raises ImageError for a folder
    without photos.
    """
    found, missing = [], []
    for name in dict.fromkeys(names):
        kind, _, folder = name.partition(":")
        if kind != "fid":
            continue
        if not folder and originals is None:
            missing.append("fid: not measured. These photos have no originals: name some, as in fid:FFHQ.")
            continue
        try:
            title = "FID ↓" if folder else "FID (originals) ↓"
            found.append(Frechet(title, listed(Path(folder or originals or ""), SYNTHETIC), inception()))
        except (MissingLibraryError, WeightsNotFoundError) as error:
            missing.append(f"{name}: not measured. {error}")
    return found, missing

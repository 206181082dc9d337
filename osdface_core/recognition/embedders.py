"""Face embedders: networks that tell people apart. Any module with the contract of `Embedder` will do for another."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import KeysError, NotACheckpointError, WeightsNotFoundError
from ..libraries import library
from ..weights.catalog import entry_of
from ..weights.files import fill, read_tensors
from ..weights.find import locate

Embedder = nn.Module
"""Faces [N,3,112,112], RGB, 0..1, aligned to `identity.ARCFACE_TEMPLATE` -> embeddings [N,D]; differentiable."""

ARCFACE = "recognition_arcface_ir_se50.pth"
MOBILEFACENET = "mobilefacenet.safetensors"
"""The usual names of the weights' files."""

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and spread of its colours, which MobileFaceNet's input is relative to."""


class ArcFace(nn.Module):
    """facexlib's ArcFace (IR-SE50, 512 values). It was trained on BGR."""

    def __init__(self) -> None:
        super().__init__()
        self.network: Any = library("facexlib.recognition.arcface_arch").Backbone(
            num_layers=50, drop_ratio=0.6, mode="ir_se"
        )

    def forward(self, faces: Tensor) -> Tensor:
        return self.network(faces.flip(1) * 2 - 1)


class MobileFaceNet(nn.Module):
    """MobileFaceNet (arXiv 1804.07573; 128 values) in the layout of foamliu's weights, which take 4 MB."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = conv(3, 64, 3, stride=2)
        self.dw_conv = DepthwiseSeparable(64)
        stages = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))
        blocks: list[nn.Module] = []
        width = 64
        for expansion, channels, count, stride in stages:
            for number in range(count):
                blocks.append(InvertedResidual(width, channels, expansion, 1 if number else stride))
                width = channels
        self.features = nn.Sequential(*blocks)
        self.conv2 = conv(128, 512, 1)
        self.gdconv = GlobalDepthwise(512)
        self.conv3 = nn.Conv2d(512, 128, 1)
        self.bn = nn.BatchNorm1d(128)

    def forward(self, faces: Tensor) -> Tensor:
        return self.embed(self.maps(faces)[-1])

    def maps(self, faces: Tensor) -> list[Tensor]:
        """Its feature maps of every resolution: before each halving, and the last."""
        mean, std = faces.new_tensor(IMAGENET)[..., None, None]
        maps, x = [], self.dw_conv(self.conv1((faces - mean) / std))
        for block in self.features:
            before, x = x, block(x)
            if x.shape[-1] < before.shape[-1]:
                maps.append(before)
        return [*maps, x]

    def embed(self, features: Tensor) -> Tensor:
        """Embeddings [N,128] of the last of them."""
        return self.bn(self.conv3(self.gdconv(self.conv2(features))).flatten(1))


class DepthwiseSeparable(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.depthwise(x)).relu()
        return self.bn2(self.pointwise(x)).relu()


class InvertedResidual(nn.Module):
    def __init__(self, width: int, channels: int, expansion: int, stride: int):
        super().__init__()
        self.skips = stride == 1 and width == channels
        inner = width * expansion
        self.conv = nn.Sequential(
            conv(width, inner, 1),
            conv(inner, inner, 3, stride=stride, groups=inner),
            nn.Conv2d(inner, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.skips else self.conv(x)


class GlobalDepthwise(nn.Module):
    """One weight for every place of the 7x7 grid, in every channel."""

    def __init__(self, channels: int):
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, groups=channels, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.depthwise(x))


def conv(width: int, channels: int, size: int, *, stride: int = 1, groups: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(width, channels, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(channels), nn.ReLU6())


def load_embedder(weights: str | Path = "arcface", *, device: str | torch.device = "cpu") -> Embedder:
    """An embedder from a weights file, in evaluation mode and without gradients of its own.

    weights: facexlib's ArcFace or a MobileFaceNet; "arcface" for the former wherever it is on this machine.
    Raises a WeightsError where the file is not there, or neither of these.
    """
    advice = entry_of(ARCFACE).how_to_get
    path = locate(weights)
    if not path.is_file():
        raise WeightsNotFoundError(path, "there is no such face embedder.", advice)
    tensors = read_tensors(path)[0]
    network: Embedder
    with torch.device("meta"):
        if "gdconv.depthwise.weight" in tensors:
            network = MobileFaceNet()
        else:
            network = ArcFace()
            tensors = {f"network.{key}": tensor for key, tensor in tensors.items()}
    try:
        fill(network, tensors, path)
    except KeysError as error:
        raise NotACheckpointError(path, f"this is no face embedder ({error}).", advice) from error
    return network.eval().to(device)

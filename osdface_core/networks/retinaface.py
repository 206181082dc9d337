"""RetinaFace: finds faces and their five landmarks, with a MobileNet 0.25 or ResNet-50 body, under facexlib's names."""

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .operations import TORCH, Operations

STEPS, SMALLEST = (8, 16, 32), ((16, 32), (64, 128), (256, 512))
"""Pixels between the cells of each of the three grids, and the sides of the two priors in each of their cells."""

MEAN = (104.0, 117.0, 123.0)
"""Blue, green, red, 0..255: what the network's input is relative to."""

Size = tuple[int, int]
"""Height and width."""


@dataclass(frozen=True)
class RetinaFaceConfig:
    body: str = "resnet50"
    """ "resnet50" or "mobile0.25"."""

    def __post_init__(self) -> None:
        if self.body not in BODIES:
            raise ValueError(f"There is no RetinaFace with the body {self.body!r}: take {' or '.join(BODIES)}.")


class RetinaFaceNet(nn.Module):
    """Images [N,3,H,W] as `prepare` gives them -> what every prior (`priors`) has to say about a face near it.

    own: the height and width of the images, where they lie in the top left corner of a larger canvas that is zero
        beyond them, of sides that 32 divides. What comes out is that of the images alone.
    Gives shifts of boxes [N,P,4], probabilities of there being none and one [N,P,2], and shifts of landmarks [N,P,10].
    """

    def __init__(self, config: RetinaFaceConfig, operations: Operations = TORCH):
        super().__init__()
        self.config = config
        body, widths, channels = BODIES[config.body]
        self.body = body(operations)
        self.fpn = FPN(operations, widths, channels)
        self.ssh1, self.ssh2, self.ssh3 = (SSH(operations, channels) for _ in STEPS)
        self.ClassHead, self.BboxHead, self.LandmarkHead = (
            nn.ModuleList(Head(operations, channels, values) for _ in STEPS) for values in (2, 4, 10)
        )
        self.mean: Tensor
        self.register_buffer("mean", torch.tensor(MEAN, device="cpu")[:, None, None], persistent=False)

    def prepare(self, images: Tensor) -> Tensor:
        """[N,3,H,W] RGB, 0..1 -> BGR around the mean, which is what the network was trained on."""
        return images.flip(1) * 255 - self.mean

    def forward(self, x: Tensor, own: Size | None = None) -> tuple[Tensor, Tensor, Tensor]:
        canvas = Canvas(own, (x.shape[2], x.shape[3])) if own else None
        maps = self.fpn(self.body(x, canvas), canvas)
        maps = [ssh(x, canvas) for ssh, x in zip((self.ssh1, self.ssh2, self.ssh3), maps, strict=True)]
        boxes, classes, landmarks = (
            torch.cat([head(x, canvas) for head, x in zip(heads, maps, strict=True)], 1)
            for heads in (self.BboxHead, self.ClassHead, self.LandmarkHead)
        )
        return boxes, classes.softmax(-1), landmarks


@dataclass(frozen=True)
class Canvas:
    """How much of a canvas its images fill, of which all maps are smaller copies."""

    own: Size
    whole: Size

    def own_of(self, x: Tensor) -> Size:
        """How much of a map [N,C,H,W] the images would fill alone."""
        height, width = (
            -(-own * side // whole) for own, whole, side in zip(self.own, self.whole, x.shape[2:], strict=True)
        )
        return height, width

    def clear(self, x: Tensor) -> None:
        """Make a map zero beyond the images, as a convolution takes it to be beyond its border."""
        height, width = self.own_of(x)
        x[:, :, height:] = 0
        x[:, :, :height, width:] = 0


class Spatial(nn.Sequential):
    """Layers of which the first looks at neighbours, for which there is nothing beyond the images."""

    def forward(self, x: Tensor, canvas: Canvas | None = None) -> Tensor:
        if canvas:
            canvas.clear(x)
        return super().forward(x)


def layers(
    operations: Operations, inputs: int, outputs: int, kernel: int, stride: int = 1, slope: float = -1, groups: int = 1
) -> list[nn.Module]:
    """A convolution with its norm, and leaky rectifiers after it unless their slope is below zero."""
    convolution = operations.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    activation = [nn.LeakyReLU(slope, inplace=True)] if slope >= 0 else []
    return [convolution, nn.BatchNorm2d(outputs), *activation]


class MobileNet(nn.Module):
    """MobileNet v1 with a quarter of its channels -> maps at 1/8, 1/16 and 1/32 of the size."""

    def __init__(self, operations: Operations):
        super().__init__()

        def block(inputs: int, outputs: int, stride: int = 1) -> Spatial:
            depthwise = layers(operations, inputs, inputs, 3, stride, 0.1, groups=inputs)
            return Spatial(*depthwise, *layers(operations, inputs, outputs, 1, slope=0.1))

        first = Spatial(*layers(operations, 3, 8, 3, 2, 0.1))
        blocks = [block(8, 16), block(16, 32, 2), block(32, 32), block(32, 64, 2), block(64, 64)]
        self.stage1 = nn.ModuleList([first, *blocks])
        self.stage2 = nn.ModuleList([block(64, 128, 2), *(block(128, 128) for _ in range(5))])
        self.stage3 = nn.ModuleList([block(128, 256, 2), block(256, 256)])

    def forward(self, x: Tensor, canvas: Canvas | None = None) -> list[Tensor]:
        maps = []
        for stage in (self.stage1, self.stage2, self.stage3):
            for block in stage:
                x = block(x, canvas)
            maps.append(x)
        return maps


class ResNet50(nn.Module):
    """ResNet-50 -> maps at 1/8, 1/16 and 1/32 of the size."""

    def __init__(self, operations: Operations):
        super().__init__()
        self.conv1, self.bn1 = layers(operations, 3, 64, 7, 2)

        def stage(inputs: int, channels: int, count: int, stride: int) -> nn.ModuleList:
            first = Bottleneck(operations, inputs, channels, stride)
            return nn.ModuleList([first, *(Bottleneck(operations, 4 * channels, channels) for _ in range(count - 1))])

        self.layer1 = stage(64, 64, 3, 1)
        self.layer2 = stage(256, 128, 4, 2)
        self.layer3 = stage(512, 256, 6, 2)
        self.layer4 = stage(1024, 512, 3, 2)

    def forward(self, x: Tensor, canvas: Canvas | None = None) -> list[Tensor]:
        x = self.bn1(self.conv1(x)).relu_()
        if canvas:
            canvas.clear(x)
        x = F.max_pool2d(x, 3, 2, 1)
        maps = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            for block in stage:
                x = block(x, canvas)
            maps.append(x)
        return maps[1:]


class Bottleneck(nn.Module):
    """Three convolutions beside a short cut."""

    def __init__(self, operations: Operations, inputs: int, channels: int, stride: int = 1):
        super().__init__()
        self.conv1, self.bn1 = layers(operations, inputs, channels, 1)
        self.conv2, self.bn2 = layers(operations, channels, channels, 3, stride)
        self.conv3, self.bn3 = layers(operations, channels, 4 * channels, 1)
        changes = stride > 1 or inputs != 4 * channels
        self.downsample = nn.Sequential(*layers(operations, inputs, 4 * channels, 1, stride)) if changes else None

    def forward(self, x: Tensor, canvas: Canvas | None) -> Tensor:
        y = self.bn1(self.conv1(x)).relu_()
        if canvas:
            canvas.clear(y)
        y = self.bn2(self.conv2(y)).relu_()
        y = self.bn3(self.conv3(y))
        y += x if self.downsample is None else self.downsample(x)
        return y.relu_()


class FPN(nn.Module):
    """A pyramid: each map with what the coarser ones add to it."""

    def __init__(self, operations: Operations, widths: tuple[int, int, int], channels: int):
        super().__init__()
        slope = slope_of(channels)
        self.output1, self.output2, self.output3 = (
            nn.Sequential(*layers(operations, width, channels, 1, slope=slope)) for width in widths
        )
        self.merge1, self.merge2 = (Spatial(*layers(operations, channels, channels, 3, slope=slope)) for _ in range(2))

    def forward(self, maps: list[Tensor], canvas: Canvas | None) -> list[Tensor]:
        fine, middle, coarse = self.output1(maps[0]), self.output2(maps[1]), self.output3(maps[2])
        middle = self.merge2(middle + F.interpolate(coarse, middle.shape[2:]), canvas)
        fine = self.merge1(fine + F.interpolate(middle, fine.shape[2:]), canvas)
        return [fine, middle, coarse]


class SSH(nn.Module):
    """Context of three sizes, by one, two and three convolutions."""

    def __init__(self, operations: Operations, channels: int):
        super().__init__()
        half, quarter, slope = channels // 2, channels // 4, slope_of(channels)
        self.conv3X3 = Spatial(*layers(operations, channels, half, 3))
        self.conv5X5_1 = Spatial(*layers(operations, channels, quarter, 3, slope=slope))
        self.conv5X5_2 = Spatial(*layers(operations, quarter, quarter, 3))
        self.conv7X7_2 = Spatial(*layers(operations, quarter, quarter, 3, slope=slope))
        self.conv7x7_3 = Spatial(*layers(operations, quarter, quarter, 3))

    def forward(self, x: Tensor, canvas: Canvas | None) -> Tensor:
        shared = self.conv5X5_1(x, canvas)
        third = self.conv7x7_3(self.conv7X7_2(shared, canvas), canvas)
        return torch.cat([self.conv3X3(x, canvas), self.conv5X5_2(shared, canvas), third], 1).relu_()


class Head(nn.Module):
    """So many values for each of the two priors in every cell: a map [N,C,H,W] -> [N,2HW,values]."""

    def __init__(self, operations: Operations, channels: int, values: int):
        super().__init__()
        self.values = values
        self.conv1x1 = operations.Conv2d(channels, 2 * values, 1)

    def forward(self, x: Tensor, canvas: Canvas | None) -> Tensor:
        x = self.conv1x1(x)
        if canvas:
            height, width = canvas.own_of(x)
            x = x[:, :, :height, :width]
        return x.permute(0, 2, 3, 1).reshape(len(x), -1, self.values)


def slope_of(channels: int) -> float:
    """The slope below zero of the rectifiers in a pyramid: a narrow one has leaky ones."""
    return 0.1 if channels <= 64 else 0.0


BODIES = {"resnet50": (ResNet50, (512, 1024, 2048), 256), "mobile0.25": (MobileNet, (64, 128, 256), 64)}
"""The bodies, the channels of their three maps, and those of the pyramid over them."""


def priors(size: Size, device: torch.device) -> Tensor:
    """The priors of an image of this height and width [P,3]: centre x and y and side, in pixels."""
    grids = []
    for step, sides in zip(STEPS, SMALLEST, strict=True):
        y, x = ((torch.arange(-(-length // step), device=device) + 0.5) * step for length in size)
        grid = torch.stack(torch.meshgrid(y, x, torch.tensor(sides, device=device).float(), indexing="ij"), -1)
        grids.append(grid.flatten(0, 2))
    return torch.cat(grids)[:, [1, 0, 2]]


def decode(boxes: Tensor, landmarks: Tensor, chosen: Tensor, size: Size) -> Tensor:
    """The boxes and landmarks [N,K,14], in pixels, of chosen priors [N,K] of images of this height and width.

    boxes, landmarks: the network's shifts, of all priors.
    """
    x_y_side = priors(size, boxes.device)[chosen]
    centre, side = x_y_side[..., :2], x_y_side[..., 2:]
    boxes, landmarks = (
        shifts.gather(1, chosen[..., None].expand(-1, -1, shifts.shape[2])) for shifts in (boxes, landmarks)
    )
    sides = side * (0.2 * boxes[..., 2:]).exp()
    corner = centre + 0.1 * boxes[..., :2] * side - sides / 2
    points = centre[..., None, :] + 0.1 * landmarks.unflatten(2, (5, 2)) * side[..., None]
    return torch.cat([corner, corner + sides, points.flatten(2)], -1)


def fold_norms(network: RetinaFaceNet) -> RetinaFaceNet:
    """Bring every norm that follows a convolution into it, for inference: the network is changed in place."""
    for module in network.modules():
        children = list(module.named_children())
        for (name, convolution), (norm_name, norm) in pairwise(children):
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, name, fuse_conv_bn_eval(convolution, norm))
                setattr(module, norm_name, nn.Identity())
    return network

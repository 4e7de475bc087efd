"""RetinaFace's networks (Deng et al. 2019, arXiv 1905.00641), with the keys of github.com/biubug6/Pytorch_Retinaface.

Own bodies instead of torchvision's: their keys are the same, and importing torchvision costs seconds.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

STRIDES = (8, 16, 32)
"""Pixels of the picture a cell of each feature map."""

ANCHORS_PER_CELL = 2
CLASSES, BOX, LANDMARKS = 2, 4, 10

LEAK = 0.1
"""How much of what is below zero the small network lets through."""

RESNET_EXPANSION = 4


class RetinaFaceNet(nn.Module):
    """Body, feature pyramid, context modules and three heads a level.

    Args:
        body: returns three feature maps, at `STRIDES`.
        channels: the channels of these maps.
        width: channels of the pyramid.
        leak: slope of the rectifiers of pyramid and context modules below zero.
    """

    def __init__(self, body: nn.Module, channels: tuple[int, int, int], width: int, leak: float) -> None:
        super().__init__()
        self.body = body
        self.fpn = FPN(channels, width, leak)
        self.ssh1, self.ssh2, self.ssh3 = SSH(width, leak), SSH(width, leak), SSH(width, leak)
        self.ClassHead = _heads(width, CLASSES)
        self.BboxHead = _heads(width, BOX)
        self.LandmarkHead = _heads(width, LANDMARKS)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Looks at (n, 3, h, w) BGR pixels in 0..255 less the mean.

        Returns:
            For each of the A anchors (`retinaface.anchors`): box offsets (n, A, 4), probabilities of background and
            face (n, A, 2), landmark offsets (n, A, 10).
        """
        maps = self.fpn(self.body(pixels))
        levels = [context(level) for context, level in zip((self.ssh1, self.ssh2, self.ssh3), maps)]
        boxes, classes, landmarks = (
            torch.cat([head(level) for head, level in zip(heads, levels)], 1)
            for heads in (self.BboxHead, self.ClassHead, self.LandmarkHead)
        )
        return boxes, classes.softmax(-1), landmarks


def resnet50() -> RetinaFaceNet:
    """The network of `RetinaFace-Resnet50-fixed.pth`."""
    return RetinaFaceNet(ResNet50(), (512, 1024, 2048), 256, leak=0.0)


def mobilenet025(leak: float = LEAK) -> RetinaFaceNet:
    """The network of `mobilenet0.25_Final.pth`, of which there are two; only the one beside ResNet50 leaks."""
    return RetinaFaceNet(MobileNet025(leak), (64, 128, 256), 64, leak)


class Head(nn.Module):
    """(n, c, h, w) features -> (n, h * w * ANCHORS_PER_CELL, values)."""

    def __init__(self, width: int, values: int) -> None:
        super().__init__()
        self.values = values
        self.conv1x1 = nn.Conv2d(width, ANCHORS_PER_CELL * values, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.conv1x1(features).permute(0, 2, 3, 1).reshape(len(features), -1, self.values)


class FPN(nn.Module):
    """Feature pyramid: each map takes in the next coarser one."""

    def __init__(self, channels: tuple[int, int, int], width: int, leak: float) -> None:
        super().__init__()
        self.output1, self.output2, self.output3 = (_conv(given, width, 1, leak=leak) for given in channels)
        self.merge1, self.merge2 = _conv(width, width, 3, leak=leak), _conv(width, width, 3, leak=leak)

    def forward(self, maps: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> list[torch.Tensor]:
        fine, middle, coarse = self.output1(maps[0]), self.output2(maps[1]), self.output3(maps[2])
        middle = self.merge2(middle + F.interpolate(coarse, size=middle.shape[2:]))
        fine = self.merge1(fine + F.interpolate(middle, size=fine.shape[2:]))
        return [fine, middle, coarse]


class SSH(nn.Module):
    """Context module (Najibi et al. 2017, arXiv 1708.03979): windows of 3, 5 and 7 cells side by side."""

    def __init__(self, width: int, leak: float) -> None:
        super().__init__()
        half, quarter = width // 2, width // 4
        self.conv3X3 = _conv(width, half, 3)
        self.conv5X5_1 = _conv(width, quarter, 3, leak=leak)
        self.conv5X5_2 = _conv(quarter, quarter, 3)
        self.conv7X7_2 = _conv(quarter, quarter, 3, leak=leak)
        self.conv7x7_3 = _conv(quarter, quarter, 3)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        shared = self.conv5X5_1(features)
        seven = self.conv7x7_3(self.conv7X7_2(shared))
        return F.relu(torch.cat([self.conv3X3(features), self.conv5X5_2(shared), seven], 1))


class MobileNet025(nn.Module):
    """MobileNet (arXiv 1704.04861) with a quarter of its channels, up to stride 32."""

    def __init__(self, leak: float) -> None:
        super().__init__()
        separable = partial(_separable, leak=leak)
        self.stage1 = nn.Sequential(
            _conv(3, 8, 3, stride=2, leak=leak),
            separable(8, 16),
            separable(16, 32, stride=2),
            separable(32, 32),
            separable(32, 64, stride=2),
            separable(64, 64),
        )
        self.stage2 = nn.Sequential(separable(64, 128, stride=2), *(separable(128, 128) for _ in range(5)))
        self.stage3 = nn.Sequential(separable(128, 256, stride=2), separable(256, 256))

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        fine = self.stage1(pixels)
        middle = self.stage2(fine)
        return fine, middle, self.stage3(middle)


class ResNet50(nn.Module):
    """ResNet50 (arXiv 1512.03385) up to its last block, strides on the 3x3 convolutions; keys as in torchvision."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False), nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _blocks(64, 64, 3, stride=1)
        self.layer2 = _blocks(256, 128, 4, stride=2)
        self.layer3 = _blocks(512, 256, 6, stride=2)
        self.layer4 = _blocks(1024, 512, 3, stride=2)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        features = self.maxpool(F.relu(self.bn1(self.conv1(pixels))))
        fine = self.layer2(self.layer1(features))
        middle = self.layer3(fine)
        return fine, middle, self.layer4(middle)


class Bottleneck(nn.Module):
    """ResNet's block of three convolutions, with a projection where size or channels change."""

    def __init__(self, given: int, width: int, stride: int = 1) -> None:
        super().__init__()
        out = width * RESNET_EXPANSION
        self.conv1, self.bn1 = nn.Conv2d(given, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or given != out:
            self.downsample = nn.Sequential(nn.Conv2d(given, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        kept = features if self.downsample is None else self.downsample(features)
        features = F.relu(self.bn1(self.conv1(features)))
        features = F.relu(self.bn2(self.conv2(features)))
        return F.relu(self.bn3(self.conv3(features)) + kept)


def _blocks(given: int, width: int, count: int, stride: int) -> nn.Sequential:
    further = (Bottleneck(width * RESNET_EXPANSION, width) for _ in range(count - 1))
    return nn.Sequential(Bottleneck(given, width, stride), *further)


def _heads(width: int, values: int) -> nn.ModuleList:
    return nn.ModuleList(Head(width, values) for _ in STRIDES)


def _conv(
    given: int, out: int, kernel: int, stride: int = 1, groups: int = 1, leak: float | None = None
) -> nn.Sequential:
    """Convolution and batch norm, then a rectifier that leaks; none if `leak` is None."""
    padding = kernel // 2
    layers = [nn.Conv2d(given, out, kernel, stride, padding, groups=groups, bias=False), nn.BatchNorm2d(out)]
    return nn.Sequential(*layers, *([] if leak is None else [nn.LeakyReLU(leak, inplace=True)]))


def _separable(given: int, out: int, stride: int = 1, leak: float = LEAK) -> nn.Sequential:
    """A convolution of each channel by itself, then one across channels: one flat sequence."""
    alone = _conv(given, given, 3, stride, groups=given, leak=leak)
    return nn.Sequential(*alone, *_conv(given, out, 1, leak=leak))

"""WS-DAN (Hu et al. 2019, arXiv 1901.09891) as second place used it: a network that tells where it looks.

A few attention maps pool the encoder's features; in training they crop and drop what the network looks at
(`training.transforms.attention`).
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, NamedTuple, cast

import torch
from torch import nn
from torch.nn import functional

from deepfake.models.efficientnet_b3 import efficientnet_b3, own_efficientnet_key
from deepfake.models.encoders import create_encoder
from deepfake.models.networks.xception import BACKBONE, CLASSES
from deepfake.models.registry import register

ATTENTION_MAPS = 8
EPSILON = 1e-12
BATCH_NORM_EPSILON = 1e-3
FEATURE_SCALE = 100.0
"""The normalized feature matrix is scaled by this before the last layer."""
MAP_DROPOUT = 0.5
"""Probability that the training pass leaves an attention map out."""


class WSDANOutput(NamedTuple):
    """What WS-DAN makes of n pictures.

    Attributes:
        logits: (n, 2).
        feature_matrix: (n, maps * features), L2-normalized rows: the pooled features of each attention map.
        attention: (n, maps, h, w), 0 or more.
    """

    logits: torch.Tensor
    feature_matrix: torch.Tensor
    attention: torch.Tensor


class AttentionMaps(nn.Module):
    """1x1 convolution, batch norm, ReLU: (n, features, h, w) -> (n, maps, h, w)."""

    def __init__(self, features: int, maps: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(features, maps, 1, bias=False)
        self.bn = nn.BatchNorm2d(maps, eps=BATCH_NORM_EPSILON)
        self.act = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.bn(self.conv(x)))


class WSDAN(nn.Module):
    """Encoder, attention maps, bilinear attention pooling, two logits.

    Args:
        features: a timm network with `forward_features` and `num_features`.
        maps: how many attention maps.
    """

    def __init__(self, features: nn.Module, maps: int = ATTENTION_MAPS) -> None:
        super().__init__()
        channels = cast(int, features.num_features)
        self.features: Any = features  # timm networks share methods, not a type
        self.attentions = AttentionMaps(channels, maps)
        self.fc = nn.Linear(maps * channels, CLASSES, bias=False)

    def forward(self, x: torch.Tensor, attended: bool = False, drop_maps: bool = False) -> torch.Tensor | WSDANOutput:
        """(n, 3, h, w) normalized pictures -> (n, 2) logits, or with `attended` everything.

        Args:
            drop_maps: the logits are those of a random half of the attention maps (the training pass on whole faces).
        """
        features = self.features.forward_features(x)
        attention = self.attentions(features)
        pooled = _pooled(attention, features)
        matrix = _normalized(pooled)
        seen = _normalized(functional.dropout1d(pooled, MAP_DROPOUT)) if drop_maps else matrix
        logits = self.fc(seen * FEATURE_SCALE)
        return WSDANOutput(logits, matrix, attention) if attended else logits


def _pooled(attention: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Means over space of each map times each feature, (n, maps, c); never in half precision, where the sums overflow
    and `EPSILON` is 0."""
    if features.dtype != torch.float64:
        attention, features = attention.float(), features.float()
    device = features.device.type
    reduced = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    with torch.autocast(device, enabled=False) if reduced else nullcontext():
        return torch.einsum("nmhw,nchw->nmc", attention, features) / (features.shape[2] * features.shape[3])


def _normalized(pooled: torch.Tensor) -> torch.Tensor:
    """(n, maps, c) -> (n, maps * c): signed square root, then rows of length 1."""
    flat = pooled.flatten(1)
    return functional.normalize(flat.sign() * (flat.abs() + EPSILON).sqrt(), dim=-1)


def own_efficientnet_b3_key(published: str) -> str:
    """The network's name of a weight in the published checkpoint (`ckpt_e.pth`)."""
    prefix, _, rest = published.partition("EFN.")
    return published if prefix or not rest else f"features.{own_efficientnet_key(rest)}"


@register("wsdan_xception", "wsdan")
def build_xception(pretrained: bool = False) -> nn.Module:
    """WS-DAN on Xception, 320 pixels in the recipe."""
    return WSDAN(create_encoder(BACKBONE, pretrained, num_classes=0))


@register("wsdan_efficientnet_b3", "wsdan", own_efficientnet_b3_key)
def build_efficientnet_b3(pretrained: bool = False) -> nn.Module:
    """WS-DAN on EfficientNet-B3 as second place padded it, 300 pixels in the recipe."""
    return WSDAN(efficientnet_b3(pretrained))

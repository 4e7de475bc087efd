"""First place's classifiers: a timm encoder, a pooling, one logit (fake against real).

Three variants: plain global average pooling, SRM noise maps as the encoder's input, and global weighted average
pooling. State-dict keys are those of the published checkpoints, the encoder's own unused `classifier` included.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from torch import nn

from deepfake.models.encoders import create_encoder
from deepfake.models.registry import register

DROP_PATH_RATE = 0.2
DROP_PATH_RATES = {"tf_efficientnet_b4_ns": 0.5}
"""Stochastic depth by encoder, where the published recipe deviates from `DROP_PATH_RATE`."""

VARIANT_DROPOUT = 0.5
"""Dropout before the last layer of the SRM and weighted-pooling variants; the plain one has none."""

# Spatial rich model kernels (Fridrich & Kodovsky 2012): second-order, 5x5 square, and linear residuals.
_SRM_KERNELS = (
    (4, ((0, 0, 0, 0, 0), (0, -1, 2, -1, 0), (0, 2, -4, 2, 0), (0, -1, 2, -1, 0), (0, 0, 0, 0, 0))),
    (12, ((-1, 2, -2, 2, -1), (2, -6, 8, -6, 2), (-2, 8, -12, 8, -2), (2, -6, 8, -6, 2), (-1, 2, -2, 2, -1))),
    (2, ((0, 0, 0, 0, 0), (0, 0, 0, 0, 0), (0, 1, -2, 1, 0), (0, 0, 0, 0, 0), (0, 0, 0, 0, 0))),
)


class DeepFakeClassifier(nn.Module):
    """Encoder, global average pooling, dropout, one logit.

    Args:
        encoder: a timm network with `forward_features` and `num_features`.
        dropout: probability before the last layer.
    """

    def __init__(self, encoder: nn.Module, dropout: float = 0.0) -> None:
        super().__init__()
        self.encoder: Any = encoder  # timm networks share methods, not a type
        self.avg_pool: nn.Module = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(cast(int, encoder.num_features), 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, 3, h, w) normalized pictures -> (n, 1) logits."""
        x = self.encoder.forward_features(x)
        return self.fc(self.dropout(self.avg_pool(x).flatten(1)))


class DeepFakeClassifierSRM(DeepFakeClassifier):
    """The encoder sees three fixed high-pass noise maps of the picture instead of its colors."""

    def __init__(self, encoder: nn.Module, dropout: float = VARIANT_DROPOUT) -> None:
        super().__init__(encoder, dropout)
        kernels = np.stack([np.array(k, np.float32) / np.float32(divisor) for divisor, k in _SRM_KERNELS])
        self.srm_conv = nn.Conv2d(3, 3, 5, padding=2, bias=False)
        self.srm_conv.weight = nn.Parameter(torch.tensor(kernels[:, None].repeat(3, axis=1)), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, 3, h, w) normalized pictures -> (n, 1) logits."""
        return super().forward(self.srm_conv(x))


class WeightedAveragePool(nn.Module):
    """Pools with weights exp(sigmoid(1x1 convolution)), normalized over space: (n, c, h, w) -> (n, c)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(features, 1, 1, bias=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weights = self.conv(x).sigmoid().exp()
        return (x * (weights / weights.sum((2, 3), keepdim=True))).sum((2, 3))


class DeepFakeClassifierGWAP(DeepFakeClassifier):
    """Global weighted average pooling: where to look is learnt."""

    def __init__(self, encoder: nn.Module, dropout: float = VARIANT_DROPOUT) -> None:
        super().__init__(encoder, dropout)
        self.avg_pool = WeightedAveragePool(cast(int, encoder.num_features))


def _builder(network: type[DeepFakeClassifier]) -> None:
    @register(network.__name__, "classifier")
    def build(
        encoder: str,
        pretrained: bool = False,
        drop_path_rate: float | None = None,
        dropout: float | None = None,
    ) -> nn.Module:
        options = {} if dropout is None else {"dropout": dropout}
        rate = DROP_PATH_RATES.get(encoder, DROP_PATH_RATE) if drop_path_rate is None else drop_path_rate
        return network(create_encoder(encoder, pretrained, rate), **options)


for _network in (DeepFakeClassifier, DeepFakeClassifierSRM, DeepFakeClassifierGWAP):
    _builder(_network)

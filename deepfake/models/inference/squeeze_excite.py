"""Squeeze-and-excitation (Hu et al. 2018, arXiv 1709.01507) as CPUs compute it fast."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn
from torch.nn import functional

from deepfake.models.timm_import import SEModule, SqueezeExcite


class FastSqueezeExcite(nn.Module):
    """Each channel times a factor that follows from the means of all.

    timm takes the means with `Tensor.mean`, which on a CPU sums channels-last bfloat16 three to six times slower than
    average pooling does.

    Args:
        layers: (n, c, 1, 1) means -> (n, c, 1, 1) factors.
    """

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, c, h, w) -> the same shape."""
        return x * cast(torch.Tensor, self.layers(functional.avg_pool2d(x, x.shape[2:])))


def replace_squeeze_excite(network: nn.Module) -> None:
    """Put a FastSqueezeExcite with the same layers in the place of timm's modules, of EfficientNets and RegNets."""
    for parent in list(network.modules()):
        for name, module in list(parent.named_children()):
            if isinstance(module, SqueezeExcite):
                layers: tuple[nn.Module, ...] = (module.conv_reduce, module.act1, module.conv_expand, module.gate)
            elif isinstance(module, SEModule) and not module.add_maxpool:
                layers = module.fc1, module.bn, module.act, module.fc2, module.gate
            else:
                continue
            setattr(parent, name, FastSqueezeExcite(*layers))

"""EfficientNet-B3 with the paddings that second place's weights were trained with.

efficientnet_pytorch 0.6.3 padded every strided convolution as for a 300-pixel input, at every layer; timm follows the
size of each layer's own input, as TensorFlow does. Elsewhere the networks are the same under other names.
"""

from __future__ import annotations

import math
import re

import torch
from torch import nn
from torch.nn import functional

from deepfake.models.encoders import create_encoder
from deepfake.models.timm_import import Conv2dSame

BACKBONE = "tf_efficientnet_b3"
PADDED_FOR = 300
"""The input size in pixels that every layer's padding is computed for."""
BATCH_NORM_MOMENTUM = 0.01

_TOP = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_SQUEEZE = {"_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand"}
_FIRST_STAGE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2", **_SQUEEZE}
_LATER_STAGES = {
    **{"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"},
    **{"_project_conv": "conv_pwl", "_bn2": "bn3", **_SQUEEZE},
}
_STAGE_LENGTHS = (2, 3, 3, 5, 5, 6, 2)
"""Blocks of each stage of B3; the published code numbers them through."""
_BLOCK_KEY = re.compile(r"_blocks\.(\d+)\.([a-z0-9_]+)\.(.+)")


class FixedPadConv2d(nn.Conv2d):
    """A convolution whose "same" padding is that of a `PADDED_FOR`-pixel input, whatever its own input's size."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        (top, bottom), (left, right) = (
            _same_padding(kernel, stride, dilation)
            for kernel, stride, dilation in zip(self.kernel_size, self.stride, self.dilation)
        )
        return super().forward(functional.pad(x, (left, right, top, bottom)))


def efficientnet_b3(pretrained: bool = False) -> nn.Module:
    """timm's EfficientNet-B3, padded and normalized as published. Its classifier is there, but unused."""
    network = create_encoder(BACKBONE, pretrained)
    for name, module in list(network.named_modules()):
        if isinstance(module, Conv2dSame):
            parent, _, own_name = name.rpartition(".")
            setattr(network.get_submodule(parent), own_name, _fixed_pad(module))
        elif isinstance(module, nn.BatchNorm2d):
            module.momentum = BATCH_NORM_MOMENTUM
    return network


def own_efficientnet_key(published: str) -> str:
    """timm's name of a weight of efficientnet_pytorch's B3."""
    if (match := _BLOCK_KEY.fullmatch(published)) is not None:
        stage, block = _stage_of(int(match[1]))
        names = _FIRST_STAGE if stage == 0 else _LATER_STAGES
        return f"blocks.{stage}.{block}.{names.get(match[2], match[2])}.{match[3]}"
    layer, _, parameter = published.partition(".")
    return f"{_TOP.get(layer, layer)}.{parameter}"


def _stage_of(block: int) -> tuple[int, int]:
    """A block's stage and place in it, by its number in the whole network."""
    for stage, length in enumerate(_STAGE_LENGTHS):
        if block < length:
            return stage, block
        block -= length
    return len(_STAGE_LENGTHS), block  # a block that B3 does not have: the strict load names its key


def _same_padding(kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Zeros before and after."""
    steps = math.ceil(PADDED_FOR / stride)
    total = max((steps - 1) * stride + (kernel - 1) * dilation + 1 - PADDED_FOR, 0)
    return total // 2, total - total // 2


def _fixed_pad(conv: nn.Conv2d) -> FixedPadConv2d:
    fixed = FixedPadConv2d(
        conv.in_channels,
        conv.out_channels,
        (conv.kernel_size[0], conv.kernel_size[1]),
        stride=(conv.stride[0], conv.stride[1]),
        dilation=(conv.dilation[0], conv.dilation[1]),
        groups=conv.groups,
        bias=conv.bias is not None,
    )
    fixed.load_state_dict(conv.state_dict())
    return fixed

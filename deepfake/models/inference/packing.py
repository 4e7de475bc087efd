"""Convolutions in the form that oneDNN computes fastest on x86 processors: weights in its own order, the activation
in the same call, those of single pixels as matrix products. The same function, up to rounding."""

from __future__ import annotations

import platform
from typing import Any, cast

import torch
from torch import nn

from deepfake.models.inference.folding import Folded, replace_module
from deepfake.models.inference.rectifiers import SLOPE
from deepfake.models.timm_import import Conv2dSame, pad_same

PACKED_TYPES = (torch.float32, torch.bfloat16)

_RECTIFIER = "leaky_relu"
_FUSED: dict[type[nn.Module], str] = {nn.SiLU: "swish", nn.ReLU: _RECTIFIER}
"""Activations that oneDNN computes on the way, under its names. Its own `relu` loses NaN (`rectifiers`)."""
_SCALARS = {_RECTIFIER: [SLOPE]}
_NO_ACTIVATION = "none"

_NEEDED = ("_convolution_pointwise", "_linear_pointwise", "_reorder_linear_weight")


def can_pack(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether convolutions of that type can be packed on a device: on x86 processors, by a torch with oneDNN; in
    bfloat16 with AVX-512, without which oneDNN refuses it.

    torch calls these functions for what `torch.compile` makes of convolutions; they are not part of its public face,
    so their absence is no error.
    """
    return (
        device.type == "cpu"
        and dtype in PACKED_TYPES
        and platform.machine() in ("x86_64", "AMD64")
        and torch.backends.mkldnn.is_available()
        and bool(torch.backends.mkldnn.enabled)
        and all(hasattr(torch.ops.mkldnn, name) for name in _NEEDED)
        and hasattr(torch.ops.aten, "mkldnn_reorder_conv2d_weight")
        and (dtype != torch.bfloat16 or _multiplies_bf16())
    )


def _multiplies_bf16() -> bool:
    asked = "_is_mkldnn_bf16_supported"
    return hasattr(torch.ops.mkldnn, asked) and bool(getattr(torch.ops.mkldnn, asked)())


def pack_convolutions(folded: Folded) -> nn.Module:
    """The network of `folded`, which is changed, with each convolution packed for pictures of the size that was seen;
    others are computed too, more slowly. Convolutions of other classes than torch's and timm's own stay."""
    network = folded.network
    modules = dict(network.named_modules())
    for name, shape in folded.shapes.items():
        conv = modules[name]
        if type(conv) not in (nn.Conv2d, Conv2dSame) or conv.padding_mode != "zeros" or isinstance(conv.padding, str):
            continue
        activation = _NO_ACTIVATION
        if (behind := folded.activations.get(name)) is not None:
            activation = _FUSED.get(type(network.get_submodule(behind)), _NO_ACTIVATION)
            if activation != _NO_ACTIVATION:
                replace_module(network, behind, nn.Identity())
        replace_module(network, name, packed_convolution(conv, activation, shape))
    return network


def packed_convolution(conv: nn.Conv2d, activation: str, shape: torch.Size) -> nn.Module:
    """A convolution, and the activation behind it.

    Args:
        conv: of torch or timm (which pads as TensorFlow does), weights in the type that is to be computed in.
        activation: a name in `_FUSED`, or none.
        shape: (n, c, h, w) of what it will be given; n does not matter.
    """
    single_pixels = conv.kernel_size == conv.stride == (1, 1) and conv.groups == 1 and conv.padding in (0, (0, 0))
    return (PackedProduct if single_pixels else PackedConv2d)(conv, activation, shape)


class PackedProduct(nn.Module):
    """A convolution of single pixels, all channels together, as a product of matrices: see `packed_convolution`.

    With more than one thread, oneDNN's convolution is ten times slower for some of these sizes than for others.
    """

    def __init__(self, conv: nn.Conv2d, activation: str, shape: torch.Size) -> None:
        super().__init__()
        self.activation, self.scalars = activation, _SCALARS.get(activation, [])
        self.dtype = conv.weight.dtype
        self.register_buffer("bias", None if conv.bias is None else conv.bias.detach().to(self.dtype))
        with torch.no_grad():
            matrix = conv.weight.detach().flatten(1).contiguous()
            # One picture's pixels: see PackedConv2d.
            self._weight = torch.ops.mkldnn._reorder_linear_weight(matrix, shape[2] * shape[3])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, c, h, w) -> (n, c', h, w) in the weights' type."""
        pixels = x.to(self.dtype).permute(0, 2, 3, 1)
        flat = pixels.reshape(-1, pixels.shape[-1])
        y = torch.ops.mkldnn._linear_pointwise(flat, self._weight, self.bias, self.activation, self.scalars, "")
        return y.view(*pixels.shape[:3], -1).permute(0, 3, 1, 2)


class PackedConv2d(nn.Module):
    """Any other convolution: see `packed_convolution`."""

    def __init__(self, conv: nn.Conv2d, activation: str, shape: torch.Size) -> None:
        super().__init__()
        self.pads_same = isinstance(conv, Conv2dSame)
        self.kernel_size = conv.kernel_size
        self.activation, self.scalars = activation, _SCALARS.get(activation, [])
        self.stride, self.dilation, self.groups = conv.stride, conv.dilation, conv.groups
        self.padding = (0, 0) if self.pads_same else conv.padding
        self.dtype = conv.weight.dtype
        bias = None if conv.bias is None else conv.bias.detach().to(self.dtype)
        self.register_buffer("bias", bias)
        with torch.no_grad():
            # One picture, however many come: the order, and with it the rounding, must not depend on the first batch.
            one = self._padded(torch.empty(1, *shape[1:], device="meta"))
            self._weight = torch.ops.aten.mkldnn_reorder_conv2d_weight(
                conv.weight.detach().to_mkldnn(), self.padding, self.stride, self.dilation, self.groups, one.shape
            )

    def _padded(self, x: torch.Tensor) -> torch.Tensor:
        if not self.pads_same:
            return x
        # timm wants lists here and takes any sequence.
        return pad_same(x, cast(Any, self.kernel_size), cast(Any, self.stride), cast(Any, self.dilation))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, c, h, w) -> (n, c', h', w') in the weights' type."""
        return torch.ops.mkldnn._convolution_pointwise(
            self._padded(x.to(self.dtype)),
            self._weight,
            self.bias,
            self.padding,
            self.stride,
            self.dilation,
            self.groups,
            self.activation,
            self.scalars,
            "",
        )

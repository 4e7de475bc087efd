"""Rectifiers that keep what is not a number.

A ReLU that is fused with the convolution before it (oneDNN, OpenVINO, what `torch.compile` makes for CPUs) computes
max(x, 0), and the maximum of NaN and 0 is 0 there: the network would go on and give a score that nothing supports. A
leaky ReLU multiplies instead, so NaN and -inf reach the score, where they are refused. It costs the same. With a slope
this small the next sum absorbs what is left of a negative number.
"""

from __future__ import annotations

from torch import nn

SLOPE = 1e-25
"""Of negative numbers. Below 1e-30, products would be subnormal floats, which processors compute slowly."""


def replace_rectifiers(network: nn.Module) -> None:
    """Replaces each `nn.ReLU` by a leaky one of SLOPE, for compilers that would fuse it with a convolution."""
    for parent in list(network.modules()):
        for name, module in list(parent.named_children()):
            if type(module) is nn.ReLU:
                setattr(parent, name, nn.LeakyReLU(SLOPE, inplace=module.inplace))

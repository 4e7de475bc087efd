"""SiLU and squeeze-and-excitation in bfloat16 on x86 processors, by C of our own (`_bf16.c`): what is left of an
EfficientNet's time once its convolutions are packed. The C is optional; `can_run_silu` says whether it is here."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from deepfake.models.inference.folding import Folded, replace_module
from deepfake.models.inference.squeeze_excite import FastSqueezeExcite

log = logging.getLogger(__name__)

INTERFACE = 1
"""Of the C that is called here: a library that was built from other sources is not."""

MOST_THREADS = 2
"""The C computes in one thread. With two of torch's, oneDNN's SiLU was as fast; with more it is taken, unmeasured."""


def can_run_silu(dtype: torch.dtype, threads: int) -> bool:
    """Whether the C was built, this processor can compute it, and it is the fastest, for so many threads of torch."""
    if dtype != torch.bfloat16 or threads > MOST_THREADS:
        return False
    kernels = _built()
    return kernels is not None and kernels.available()


@cache
def _built() -> ModuleType | None:
    try:
        kernels = importlib.import_module("deepfake.models.inference._bf16")
    except ImportError:
        kernels = None
    if kernels is not None and kernels.INTERFACE == INTERFACE:
        return kernels
    if torch.cpu._is_avx512_bf16_supported():
        log.warning(
            "networks in bf16 would be faster with deepfake/models/inference/_bf16.c, which was not built from this "
            "version: install a C compiler and Python's headers (apt install gcc libc6-dev python3-dev), then the "
            "project anew (python -m pip install -e .)"
        )
    return None


def _kernels() -> ModuleType:
    kernels = _built()
    assert kernels is not None, "without can_run_silu there is nothing to call"
    return kernels


def replace_silu(folded: Folded) -> None:
    """Put InPlaceSiLU in the place of each SiLU that alone reads what a convolution puts out. Where a FastSqueezeExcite
    alone reads what that SiLU puts out, one SiLUSqueezeExcite takes the place of both."""
    network = folded.network
    for name in folded.activations.values():
        if not isinstance(network.get_submodule(name), nn.SiLU):
            continue
        reader_name = folded.squeeze_excites.get(name)
        reader = None if reader_name is None else network.get_submodule(reader_name)
        if reader_name is not None and isinstance(reader, FastSqueezeExcite):
            replace_module(network, name, nn.Identity())
            replace_module(network, reader_name, SiLUSqueezeExcite(reader))
        else:
            replace_module(network, name, InPlaceSiLU())


class InPlaceSiLU(nn.Module):
    """SiLU of what nothing else reads: it is overwritten."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, c, h, w) -> the same in bfloat16, and in its place if it was bfloat16 in channels-last order."""
        x = x.to(torch.bfloat16, memory_format=torch.channels_last)
        _called(silu_)(x)
        return x


class SiLUSqueezeExcite(nn.Module):
    """SiLU and then FastSqueezeExcite, of what nothing else reads: it is overwritten. Its means are taken in the
    same pass.

    Args:
        squeeze_excite: whose layers are used.
    """

    def __init__(self, squeeze_excite: FastSqueezeExcite) -> None:
        super().__init__()
        self.layers = squeeze_excite.layers

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, c, h, w) -> the same in bfloat16, and in its place if it was bfloat16 in channels-last order."""
        x = x.to(torch.bfloat16, memory_format=torch.channels_last)
        means = _called(silu_means_)(x)
        factors = self.layers(means.to(x.dtype)).to(x.dtype)
        _called(scale_)(x, factors.reshape(x.shape[:2]))
        return x


def silu_(x: torch.Tensor) -> None:
    """(n, c, h, w) bfloat16 in channels-last order becomes its SiLU."""
    _kernels().swish(_bits(x.permute(0, 2, 3, 1)))


def silu_means_(x: torch.Tensor) -> torch.Tensor:
    """(n, c, h, w) bfloat16 in channels-last order becomes its SiLU; (n, c, 1, 1) float32 means of that."""
    n, c, h, w = x.shape
    sums = torch.zeros(n, c, 1, 1)
    _kernels().swish_and_sum(_bits(x.permute(0, 2, 3, 1)), sums.numpy(), n)
    return sums.div_(h * w)


def scale_(x: torch.Tensor, factors: torch.Tensor) -> None:
    """(n, c, h, w) bfloat16 in channels-last order becomes its product with (n, c) bfloat16 factors."""
    _kernels().scale(_bits(x.permute(0, 2, 3, 1)), _bits(factors.contiguous()), len(x))


# What the compiler puts into its graphs, where it cannot look inside.
_OPERATIONS = {
    function: torch.library.custom_op(f"deepfake::{function.__name__}", function, mutates_args=("x",))
    for function in (silu_, silu_means_, scale_)
}
_OPERATIONS[silu_].register_fake(lambda x: None)
_OPERATIONS[silu_means_].register_fake(lambda x: x.new_empty((*x.shape[:2], 1, 1), dtype=torch.float32))
_OPERATIONS[scale_].register_fake(lambda x, factors: None)


def _called(function: Callable[..., Any]) -> Callable[..., Any]:
    """What to call: the function, which is cheaper, or while compiling the operation that it is."""
    return _OPERATIONS[function] if torch.compiler.is_compiling() else function


def _bits(x: torch.Tensor) -> np.ndarray:
    """The memory of bfloat16 values, which NumPy does not know, as 16 bits."""
    return x.view(torch.int16).numpy()

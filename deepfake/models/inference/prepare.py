"""The form of a network that scores: the same function of its pictures, cheaper.

Batch norms are folded into the convolutions before them (in float32, before anything is rounded), weights are kept in
the type that the convolutions compute in, layers in channels-last order; on x86 processors convolutions are packed;
compiled on demand.
"""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Callable

import torch
from torch import nn

from deepfake.models.inference.folding import fold_batch_norms
from deepfake.models.inference.packing import can_pack, pack_convolutions
from deepfake.models.inference.rectifiers import replace_rectifiers
from deepfake.models.inference.squeeze_excite import replace_squeeze_excite
from deepfake.models.precision import PRECISIONS

Network = Callable[[torch.Tensor], torch.Tensor]
"""(n, 3, h, w) pictures -> what the network puts out for them."""


def for_inference(network: nn.Module, precision: str, batch: torch.Tensor, compiled: bool = False) -> Network:
    """A network in evaluation mode -> one that computes in `precision`, for the same pictures.

    It is a copy; or the network itself, its weights in another order in memory, where nothing is gained by a copy: in
    float32 on other devices than x86 processors, and of what has no convolutions, as exported files. In fewer bits,
    layers without convolution or matrix product, and what the network itself guards, stay in float32.

    Args:
        precision: a name in PRECISIONS; for float32 the network computes in its weights' own type.
        batch: (n, 3, h, w) pictures as it will be given, n >= 1.
        compiled: for `torch.compile`; the first call costs a minute or more, and so does the first one of each batch
            size.
    """
    weights = next(network.parameters())
    own, dtype = weights.dtype, PRECISIONS[precision]
    reduced = dtype not in (torch.float32, own)
    packs = can_pack(weights.device, dtype if reduced else own) and _convolves(network)
    if reduced or packs:
        network = copy.deepcopy(network)
        if weights.device.type == "cpu":
            replace_squeeze_excite(network)
        folded = fold_batch_norms(network, batch.to(own))
        if reduced:
            _cast(network, dtype)
        if packs and not compiled:
            network = pack_convolutions(folded)
        elif packs:  # the compiler packs, too, and fuses rectifiers
            replace_rectifiers(network)
        network = MixedPrecision(network, dtype) if reduced else network
    network = network.to(memory_format=torch.channels_last)
    return _Compiled(network, weights.device) if compiled else network


_COMPILERS = {
    "cpu": ("CXX", "C++ compiler (g++)", ("g++", "clang++", "c++")),
    "cuda": ("CC", "C compiler (gcc)", ("gcc", "clang", "cc")),
}
"""What torch.compile takes, by type of device: for the code itself, or for what starts Triton's kernels."""


def check_can_compile(device: torch.device) -> None:
    """Raises ValueError if networks cannot be compiled for a device, for want of a compiler."""
    variable, compiler, names = _COMPILERS.get(device.type, ("", "", ()))
    if names and not os.environ.get(variable) and not any(map(shutil.which, names)):
        raise ValueError(f"compiling networks for {device.type} takes a {compiler}, and none is installed")


class MixedPrecision(nn.Module):
    """A network whose convolutions and matrix products compute in `dtype`."""

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = network
        self.dtype = dtype

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(x.device.type, self.dtype):
            return self.network(x)


def _convolves(network: nn.Module) -> bool:
    return any(isinstance(module, nn.Conv2d) for module in network.modules())


def _cast(network: nn.Module, dtype: torch.dtype) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.to(dtype)


class _Compiled:
    """A network that is compiled when it is first called; on a CPU for its weights as they are, which are packed."""

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self._network = torch.compile(network, dynamic=False)
        self._freezes = device.type == "cpu"

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if not self._freezes:
            return self._network(x)
        from torch._inductor import config

        # As an option of torch.compile it comes too late: what reads the network's code asks the configuration.
        with config.patch(freezing=True):
            outputs = self._network(x)
        self._freezes = False
        return outputs

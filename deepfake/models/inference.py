"""The form of a network that scores: the same function of its pictures, cheaper.

Batch norms are folded into the convolutions before them (in float32, before anything is rounded), weights are kept in
the type that the convolutions compute in, layers in channels-last order; compiled on demand.
"""

from __future__ import annotations

import copy
import shutil
from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.utils._python_dispatch import TorchDispatchMode

from deepfake.precision import PRECISIONS

PROBE_SIZE = 96
"""Side in pixels of the picture that shows which layer feeds which: a fifth of the time that 380 pixels take a B7."""


def for_inference(
    network: nn.Module, precision: str, compiled: bool = False, input_size: int | None = None
) -> nn.Module:
    """A network in evaluation mode -> one that computes in `precision`, for the same pictures.

    In float32 it is the network itself, its weights in another order in memory. In fewer bits it is a copy; layers
    without convolution or matrix product, and what the network itself guards, stay in float32.

    Args:
        precision: a name in PRECISIONS.
        compiled: for `torch.compile`, its weights frozen; the first call costs a minute or more, and so does the first
            one of each batch size.
        input_size: see `fold_batch_norms`.

    Raises:
        ValueError: compiling is asked for and no C++ compiler is installed.
    """
    dtype = PRECISIONS[precision]
    own = next(network.parameters()).dtype
    if dtype not in (torch.float32, own):
        network = MixedPrecision(fold_batch_norms(network, input_size), dtype)
    network = network.to(memory_format=torch.channels_last)
    return _compiled(network) if compiled else network


class MixedPrecision(nn.Module):
    """A network whose convolutions and matrix products compute in `dtype`; takes ownership of it."""

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.to(dtype)
        self.network = network
        self.dtype = dtype

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(x.device.type, self.dtype):
            return self.network(x)


def fold_batch_norms(network: nn.Module, input_size: int | None = None) -> nn.Module:
    """A copy of a network in evaluation mode whose batch norms are part of the convolutions that feed them alone.

    Which feeds which is seen by sending one picture through, so control flow does not matter. timm's batch norms
    leave their activation behind.

    Args:
        input_size: side in pixels of the pictures that the network takes, for one that takes no others.
    """
    network = copy.deepcopy(network)
    modules = dict(network.named_modules())
    for norm_name, conv_name in _layers_fed(network, input_size).items():
        norm, conv = modules[norm_name], modules[conv_name]
        assert isinstance(norm, nn.BatchNorm2d) and isinstance(conv, nn.Conv2d)
        assert norm.running_mean is not None and norm.running_var is not None
        conv.weight, bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        conv.register_parameter("bias", bias)
        parent, _, name = norm_name.rpartition(".")
        setattr(network.get_submodule(parent), name, _activation_of(norm))
    return network


def _activation_of(norm: nn.BatchNorm2d) -> nn.Module:
    """timm's BatchNormAct2d holds dropout (for training) and an activation; torch's own nothing."""
    activation = getattr(norm, "act", None)
    return activation if isinstance(activation, nn.Module) else nn.Identity()


def _layers_fed(network: nn.Module, input_size: int | None) -> dict[str, str]:
    """`_fed_by` of a small picture; of one of `input_size` where the network refuses that."""
    try:
        return _fed_by(network, PROBE_SIZE)
    except (AssertionError, RuntimeError, ValueError):  # as networks of a fixed size refuse others
        if input_size is None:
            raise
        return _fed_by(network, input_size)


@torch.no_grad()
def _fed_by(network: nn.Module, size: int) -> dict[str, str]:
    """Names of batch norms with running statistics -> that of the convolution whose output nothing else reads."""
    place = next(network.parameters())
    probe = torch.zeros(1, 3, size, size, device=place.device, dtype=place.dtype)
    outputs: dict[int, tuple[str, torch.Tensor]] = {}  # held, so that no identity is used twice
    inputs: dict[str, int] = {}
    calls: Counter[str] = Counter()
    hooks = []

    def on_conv(name: str) -> Any:
        def hook(module: nn.Module, args: Any, output: torch.Tensor) -> None:
            outputs[id(output)] = (name, output)
            calls[name] += 1

        return hook

    def on_norm(name: str) -> Any:
        def hook(module: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
            inputs[name] = id(args[0])
            calls[name] += 1

        return hook

    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(on_conv(name)))
        elif isinstance(module, nn.BatchNorm2d) and module.track_running_stats and module.affine:
            hooks.append(module.register_forward_pre_hook(on_norm(name)))
    try:
        with _Reads() as reads:
            network(probe)
    finally:
        for handle in hooks:
            handle.remove()
    return {
        norm: outputs[read][0]
        for norm, read in inputs.items()
        if read in outputs and reads.count[read] == 1 and calls[norm] == calls[outputs[read][0]] == 1
    }


class _Reads(TorchDispatchMode):
    """Counts which tensor is read by how many operations."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[int] = Counter()
        self._held: list[Any] = []

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        read = [x for x in torch.utils._pytree.tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        self.count.update({id(x) for x in read})
        self._held += read  # a freed tensor's identity would be used again
        return operation(*args, **(kwargs or {}))


def _compiled(network: nn.Module) -> nn.Module:
    device = next(network.parameters()).device.type
    if device == "cpu" and not any(map(shutil.which, ("g++", "clang++", "c++"))):
        raise ValueError("compiling networks for this CPU takes a C++ compiler (g++), and none is installed")
    compiled = torch.compile(network, dynamic=False, options={"freezing": True})
    assert isinstance(compiled, nn.Module)
    return compiled

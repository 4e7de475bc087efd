"""Batch norms as part of the convolutions that feed them, for networks that are not trained any more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary


@dataclass(frozen=True)
class Folded:
    """A network whose batch norms are folded, and what one batch showed of it; modules by name.

    Attributes:
        activations: a convolution -> what has taken the place of its batch norm.
        shapes: a convolution -> the (n, c, h, w) that it was given.
    """

    network: nn.Module
    activations: dict[str, str]
    shapes: dict[str, torch.Size]


def fold_batch_norms(network: nn.Module, batch: torch.Tensor) -> Folded:
    """Makes a network's batch norms part of the convolutions that feed them alone; it is in evaluation mode.

    Which feeds which is seen by sending a batch through, so control flow does not matter. timm's batch norms leave
    their activation behind.

    Args:
        batch: (n, 3, h, w) pictures as the network will be given, n >= 1.
    """
    modules = dict(network.named_modules())
    fed, shapes = _look(network, batch)
    for conv_name, norm_name in fed.items():
        norm, conv = modules[norm_name], modules[conv_name]
        assert isinstance(norm, nn.BatchNorm2d) and isinstance(conv, nn.Conv2d)
        assert norm.running_mean is not None and norm.running_var is not None
        conv.weight, bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        conv.register_parameter("bias", bias)
        replace_module(network, norm_name, _activation_of(norm))
    return Folded(network, fed, shapes)


def replace_module(network: nn.Module, name: str, module: nn.Module) -> None:
    """Puts a module in the place of the one of that dotted name."""
    parent, _, own = name.rpartition(".")
    setattr(network.get_submodule(parent), own, module)


def _activation_of(norm: nn.BatchNorm2d) -> nn.Module:
    """timm's BatchNormAct2d holds dropout (for training) and an activation; torch's own nothing."""
    activation = getattr(norm, "act", None)
    return activation if isinstance(activation, nn.Module) else nn.Identity()


@dataclass
class _Seen:
    """Of a tensor: the convolution that made it, and how many operations have read it."""

    conv: str | None = None
    reads: int = 0


@torch.no_grad()
def _look(network: nn.Module, batch: torch.Tensor) -> tuple[dict[str, str], dict[str, torch.Size]]:
    """Names of convolutions -> the batch norm with running statistics that alone reads its output; -> its input's
    shape."""
    inputs: dict[str, _Seen] = {}
    shapes: dict[str, torch.Size] = {}
    calls: Counter[str] = Counter()
    hooks = []
    reads = _Reads()

    def on_conv(name: str) -> Any:
        def hook(module: nn.Module, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            reads.seen(output).conv = name
            shapes[name] = args[0].shape
            calls[name] += 1

        return hook

    def on_norm(name: str) -> Any:
        def hook(module: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
            inputs[name] = reads.seen(args[0])
            calls[name] += 1

        return hook

    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(on_conv(name)))
        elif isinstance(module, nn.BatchNorm2d) and module.track_running_stats and module.affine:
            hooks.append(module.register_forward_pre_hook(on_norm(name)))
    try:
        with reads:
            network(batch)
    finally:
        for handle in hooks:
            handle.remove()
    fed = {
        seen.conv: norm
        for norm, seen in inputs.items()
        if seen.conv is not None and seen.reads == 1 and calls[norm] == calls[seen.conv] == 1
    }
    return fed, shapes


class _Reads(TorchDispatchMode):
    """Counts by how many operations each tensor is read, and keeps none of them."""

    def __init__(self) -> None:
        super().__init__()
        self._seen = WeakTensorKeyDictionary()

    def seen(self, tensor: torch.Tensor) -> _Seen:
        return self._seen.setdefault(tensor, _Seen())

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        leaves = torch.utils._pytree.tree_leaves((args, kwargs))
        for tensor in {id(leaf): leaf for leaf in leaves if isinstance(leaf, torch.Tensor)}.values():
            self.seen(tensor).reads += 1
        return operation(*args, **(kwargs or {}))

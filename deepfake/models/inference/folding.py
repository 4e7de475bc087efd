"""Batch norms as part of the convolutions that feed them, for networks that are not trained any more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.hooks import RemovableHandle
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
    look = _Look(network)
    look.at(batch)
    fed = look.readers_of(nn.Conv2d, nn.BatchNorm2d)
    for conv_name, norm_name in fed.items():
        norm, conv = modules[norm_name], modules[conv_name]
        assert isinstance(norm, nn.BatchNorm2d) and isinstance(conv, nn.Conv2d)
        assert norm.running_mean is not None and norm.running_var is not None
        conv.weight, bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        conv.register_parameter("bias", bias)
        replace_module(network, norm_name, _activation_of(norm))
    return Folded(network, fed, look.shapes)


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
    """Of a tensor: the module that made it, and all that have read it, modules by name and operations by number."""

    maker: str | None = None
    readers: set[str | int] = field(default_factory=set)


class _Look:
    """Which convolutions and batch norms with running statistics of a network read each other's outputs.

    Attributes:
        shapes: a convolution -> its input's shape.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._modules = {name: module for name, module in network.named_modules() if _is_watched(module)}
        self._inputs: dict[str, _Seen] = {}
        self._calls: Counter[str] = Counter()
        self.shapes: dict[str, torch.Size] = {}

    @torch.no_grad()
    def at(self, batch: torch.Tensor) -> None:
        """What happens to a batch."""
        reads = _Reads()
        hooks = [hook for name, module in self._modules.items() for hook in self._watch(name, module, reads)]
        try:
            with reads:
                self._network(batch)
        finally:
            for handle in hooks:
                handle.remove()

    def _watch(self, name: str, module: nn.Module, reads: _Reads) -> list[RemovableHandle]:
        def before(module: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
            self._inputs[name] = reads.seen(args[0])
            self._calls[name] += 1
            if isinstance(module, nn.Conv2d):
                self.shapes[name] = args[0].shape
            reads.within.append(name)

        def after(module: nn.Module, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            reads.within.pop()
            reads.seen(output).maker = name

        return [module.register_forward_pre_hook(before), module.register_forward_hook(after)]

    def readers_of(self, makers: type[nn.Module], readers: type[nn.Module]) -> dict[str, str]:
        """Modules of one class -> those of another that alone read what they put out, each called once."""
        return {
            seen.maker: name
            for name, seen in self._inputs.items()
            if seen.maker is not None
            and isinstance(self._modules[name], readers)
            and isinstance(self._modules[seen.maker], makers)
            and seen.readers - {seen.maker} == {name}  # who made it may have worked on it in place
            and self._calls[name] == self._calls[seen.maker] == 1
        }


def _is_watched(module: nn.Module) -> bool:
    if isinstance(module, nn.BatchNorm2d):
        return module.track_running_stats and module.affine
    return isinstance(module, nn.Conv2d)


class _Reads(TorchDispatchMode):
    """Notes who reads each tensor, and keeps none of them.

    Attributes:
        within: names of the modules that are being called, the innermost last: what is read there, they read.
    """

    def __init__(self) -> None:
        super().__init__()
        self._seen = WeakTensorKeyDictionary()
        self._operations = 0
        self.within: list[str] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch imports its compiler to keep it out of here, two seconds and 150 MB

    def seen(self, tensor: torch.Tensor) -> _Seen:
        return self._seen.setdefault(tensor, _Seen())

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self._operations += 1
        reader = self.within[-1] if self.within else self._operations
        for leaf in torch.utils._pytree.tree_leaves((args, kwargs)):
            if isinstance(leaf, torch.Tensor):
                self.seen(leaf).readers.add(reader)
        return operation(*args, **(kwargs or {}))

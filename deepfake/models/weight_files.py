"""Weight files: read without running code, and copied into networks strictly."""

from __future__ import annotations

import hashlib
import pickle
import re
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from deepfake.models.checkpoint_files import check_file

_SCALAR = np.float64(0).__reduce__()[0]

# Published checkpoints hold their metric as a numpy scalar. These names only rebuild numbers.
_NUMPY_SCALARS: list[Any] = [
    (_SCALAR, "numpy.core.multiarray.scalar"),
    (_SCALAR, "numpy._core.multiarray.scalar"),
    np.dtype,
    type(np.dtype(np.float32)),
    type(np.dtype(np.float64)),
]

# What reading arbitrary bytes as a checkpoint has been seen to raise, beside the unpickler's own error.
_DAMAGE = (
    *(RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError, struct.error),
    *(ArithmeticError, AssertionError, ImportError, MemoryError),
)

_GLOBAL = re.compile(r"Unsupported (?:global: GLOBAL|operand|class) ([\w.]+)|GLOBAL ([\w.]+)")

_WRAPPERS = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before every key, in any order."""

_ATTRIBUTE = "model."
"""What Lightning and others put before every key of the network that they hold."""

_COUNTER = "num_batches_tracked"
"""Of batch norms: without meaning for a network that is not trained on. Some files lack it or hold it as a float."""


class CheckpointError(ValueError):
    """A checkpoint cannot be read or does not fit; the message names the file and the reason."""


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Read a file of nothing but weights, under the network's own keys.

    Raises:
        CheckpointError: missing, damaged, carrying code, or holding anything but tensors.
    """
    state = read_file(path)
    if not state or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise CheckpointError(f"{path}: not a file of weights alone: expected a dictionary of tensors")
    check_tensors(state, path)
    return own_keys(state, path)


def load_state(network: nn.Module, given: Mapping[str, torch.Tensor], path: Path, name: str) -> None:
    """Copy weights into a network, strictly.

    Args:
        network: takes them in.
        given: the weights by key.
        path, name: of the weights' file and of the network, for the message.

    Raises:
        CheckpointError: missing or unexpected keys, other shapes or kinds of numbers, or numbers that are not finite;
            the message names them.
    """
    compare_keys(network, given, path, name)
    counters = {k: torch.zeros_like(v) for k, v in network.state_dict().items() if k.endswith(_COUNTER)}
    network.load_state_dict({**counters, **given})
    _check_finite(network, path)


def compare_keys(network: nn.Module, given: Mapping[str, torch.Tensor], path: Path, name: str) -> None:
    """Raises CheckpointError unless weights have a network's keys, shapes and kinds of numbers."""
    own = network.state_dict()
    common = own.keys() & given.keys()
    problems = {
        "missing": sorted(key for key in own.keys() - given.keys() if not key.endswith(_COUNTER)),
        "unexpected": sorted(given.keys() - own.keys()),
        "of another shape": sorted(
            f"{k} {tuple(given[k].shape)} instead of {tuple(own[k].shape)}"
            for k in common
            if own[k].shape != given[k].shape
        ),
        "of another kind of number": sorted(
            f"{k} {given[k].dtype} instead of {own[k].dtype}"
            for k in common
            if given[k].is_floating_point() != own[k].is_floating_point() and not k.endswith(_COUNTER)
        ),
    }
    if any(problems.values()):
        mismatch = "; ".join(f"{len(keys)} keys {what}: {_some(keys)}" for what, keys in problems.items() if keys)
        raise CheckpointError(f"{path}: the weights do not fit {name}: {mismatch}{_prefix_hint(own, given)}")


def _prefix_hint(own: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """What to do if all keys are there, behind a prefix."""
    first = next(iter(own), "")
    prefixes = {key.removesuffix(first) for key in given if key.endswith(first) and key != first}
    for prefix in sorted(prefixes):
        if all(prefix + key in given or key.endswith(_COUNTER) for key in own):
            return f"; all are there behind the prefix {prefix!r}: save them without it"
    return ""


def check_tensors(state: Mapping[Any, Any], path: Path) -> None:
    """Raises CheckpointError for weights that are no plain tensors in memory."""
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            raise CheckpointError(f"{path}: holds no 'state_dict' of tensors: {key!r:.100} is {type(value).__name__}")
        kind = _odd_kind(value)
        if kind:
            raise CheckpointError(f"{path}: {key}: {kind}; expected a dense tensor of floating-point numbers")


_DRAWS = (torch.Tensor.normal_, torch.Tensor.uniform_)


class _Undrawn(TorchFunctionMode):
    """Draw no initial values: for the meta device there are none, but asking for them imports torch's compiler."""

    def __torch_function__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        named = kwargs or {}
        if function in _DRAWS or getattr(function, "__module__", None) == torch.nn.init.__name__:
            return named["tensor"] if "tensor" in named else args[0]
        return function(*args, **named)


def build_outline(build: Callable[[], nn.Module]) -> nn.Module:
    """Return the network that `build` makes with all its weights and buffers on the meta device: shapes, no memory."""
    with _Undrawn(), torch.device("meta"):
        return build()


def _odd_kind(value: torch.Tensor) -> str:
    if value.device.type == "meta":
        return "a tensor without values (meta)"
    if value.layout != torch.strided:
        return f"a sparse tensor ({value.layout})"
    if value.is_quantized:
        return "a quantized tensor"
    if value.is_complex():
        return "complex numbers"
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        return f"a tensor of shape {tuple(value.shape)} that repeats fewer numbers"
    return ""


def _check_finite(network: nn.Module, path: Path) -> None:
    """Raises CheckpointError for weights that are not finite and variances that are negative."""
    for key, value in network.state_dict().items():
        if value.is_floating_point() and value.numel():
            low, high = value.aminmax()
            if not (low.isfinite() and high.isfinite()):
                count = int((~value.isfinite()).sum())
                raise CheckpointError(
                    f"{path}: {key}: {count} of {value.numel()} numbers are not finite; expected a network that was "
                    "trained to an end"
                )
            if key.endswith("running_var") and low < 0:
                raise CheckpointError(f"{path}: {key}: a variance of {float(low):g}; expected 0 or more")


def own_keys(state: Mapping[str, torch.Tensor], path: Path) -> dict[str, torch.Tensor]:
    """Weights without the prefixes of what a network was wrapped in.

    Raises:
        CheckpointError: two keys become one.
    """
    shared = True
    own = dict(state)
    while shared:
        bare = {_unwrapped(key): value for key, value in own.items()}
        if len(bare) != len(own):
            raise CheckpointError(f"{path}: keys are there with and without the prefixes {', '.join(_WRAPPERS)}")
        own = bare
        shared = bool(own) and all(key.startswith(_ATTRIBUTE) for key in own)
        if shared:
            own = {key.removeprefix(_ATTRIBUTE): value for key, value in own.items()}
    return own


def _unwrapped(key: str) -> str:
    while key.startswith(_WRAPPERS):
        for prefix in _WRAPPERS:
            key = key.removeprefix(prefix)
    return key.replace("._orig_mod.", ".")  # a part of the network was compiled


def file_hash(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _sha256(file)


def _sha256(file: Any) -> str:  # Python 3.10 has no file_digest.
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def read_file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    try:
        check_file(path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error
    try:
        with torch.serialization.safe_globals(_NUMPY_SCALARS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path}: {_refusal(str(error))}") from error
    except _DAMAGE as error:
        raise CheckpointError(f"{path}: damaged or not a checkpoint: {first_words(error)}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}; expected a checkpoint dictionary")
    return dict(content)


def _refusal(message: str) -> str:
    """Why torch did not unpickle a file, from its message."""
    found = _GLOBAL.search(message)
    if found is None:
        return f"refused: damaged, or no checkpoint of torch; get it from its source again ({_first_line(message)})"
    return (
        f"refused: it holds a {found[1]}, beyond tensors and plain values, which could run code. Get it from its "
        "source again, or where you trust it, save its 'spec' and 'state_dict' alone with torch.save"
    )


def _some(keys: list[str], most: int = 5) -> str:
    return ", ".join(keys[:most]) + (f", ... ({len(keys) - most} more)" if len(keys) > most else "")


def first_words(error: Exception) -> str:
    return _first_line(str(error)) or type(error).__name__


def _first_line(text: str) -> str:
    return text.strip().split("\n")[0][:200]

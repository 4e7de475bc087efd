"""Checkpoints: saved atomically, loaded without running code, strictly, with their spec."""

from __future__ import annotations

import hashlib
import io
import pickle
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from deepfake import atomic
from deepfake.checkpoint_files import check_file
from deepfake.models import published_to_own
from deepfake.spec import OUTPUT_WIDTHS, SECOND_PLACE_SPECS, ModelSpec, legacy_spec

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
_STATES = ("state_dict", "model_state_dict", "model")
"""Where a checkpoint keeps its weights; the first that is there."""
_COUNTER = "num_batches_tracked"
"""Of batch norms: without meaning for a network that is not trained on. Some files lack it or hold it as a float."""


class CheckpointError(ValueError):
    """A checkpoint cannot be read or does not fit; the message names the file and the reason."""


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint: weights under the network's own keys, spec, and everything else that was saved."""

    path: Path
    state_dict: dict[str, torch.Tensor]
    spec: ModelSpec
    extra: dict[str, Any]


def save_checkpoint(path: Path, network: nn.Module, spec: ModelSpec, **extra: Any) -> None:
    """Writes weights, spec and `extra` (tensors and plain values only), atomically.

    Raises:
        OSError: the disk is full, or the file cannot be written.
    """
    state = _own_keys(network.state_dict(), path)
    # Through memory: torch hides a full disk behind an error of its archive.
    archive = io.BytesIO()
    torch.save({"spec": spec.to_dict(), "state_dict": state, **extra}, archive)
    atomic.write_bytes(Path(path), archive.getbuffer())


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint of this project, or a published one by its file name.

    Raises:
        CheckpointError: missing, damaged, carrying code, without weights, without a spec, or with one that makes no
            sense; the message names the file, the key and what was expected.
    """
    path = Path(path)
    content = _read(path)
    name = next((key for key in _STATES if isinstance(content.get(key), Mapping)), None)
    if name is not None:
        state = content.pop(name)
    elif content and all(isinstance(value, torch.Tensor) for value in content.values()):
        state, content = content, {}  # weights alone
    else:
        raise CheckpointError(f"{path}: holds no 'state_dict' of tensors; not a checkpoint of this project")
    _check_tensors(state, path)
    described = content.pop("spec", None)
    spec = _spec(path, described)
    own_key = published_to_own(spec.architecture) if described is None else str
    weights = {own_key(key): value for key, value in _own_keys(state, path).items()}
    return Checkpoint(path=path, state_dict=weights, spec=spec, extra=content)


def load_model(path: Path, device: str | torch.device = "cpu") -> tuple[nn.Module, ModelSpec]:
    """Load the network of a checkpoint in evaluation mode, float32, on `device`.

    Raises:
        CheckpointError: see `read_checkpoint`; also if the weights do not fit the architecture exactly or are not
            finite, or the network does not take and give what the spec says.
    """
    checkpoint = read_checkpoint(path)
    try:
        network = _materialize(_outline(checkpoint), checkpoint.spec)
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error
    load_weights(network, checkpoint)
    return network.eval().to(device), checkpoint.spec


def load_weights(network: nn.Module, checkpoint: Checkpoint) -> None:
    """Copy a checkpoint's weights into a network, strictly.

    Raises:
        CheckpointError: see `load_state`.
    """
    load_state(network, checkpoint.state_dict, checkpoint.path, _name(checkpoint.spec))


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Read a file of nothing but weights, under the network's own keys.

    Raises:
        CheckpointError: missing, damaged, carrying code, or holding anything but tensors.
    """
    state = _read(path)
    if not state or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise CheckpointError(f"{path}: not a file of weights alone: expected a dictionary of tensors")
    _check_tensors(state, path)
    return _own_keys(state, path)


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
    _compare(network, given, path, name)
    counters = {k: torch.zeros_like(v) for k, v in network.state_dict().items() if k.endswith(_COUNTER)}
    network.load_state_dict({**counters, **given})
    _check_finite(network, path)


def _compare(network: nn.Module, given: Mapping[str, torch.Tensor], path: Path, name: str) -> None:
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


def _outline(checkpoint: Checkpoint) -> nn.Module:
    """The network of a checkpoint without values: before any memory is taken, it is known that the file holds it.

    Raises:
        ValueError: the weights are not those of the spec's network, or that does not take pictures of the spec's size
            or give its number of outputs.
    """
    spec = checkpoint.spec
    with torch.device("meta"):
        network = spec.build().eval()
    _compare(network, checkpoint.state_dict, checkpoint.path, _name(spec))
    try:
        with torch.no_grad():
            outputs = network(torch.empty(1, 3, spec.input_size, spec.input_size, device="meta"))
    except (RuntimeError, ValueError, AssertionError) as error:
        raise ValueError(f"{_name(spec)} cannot score pictures of {spec.input_size} pixels: {_told(error)}") from error
    width = OUTPUT_WIDTHS[spec.output]
    if tuple(outputs.shape) != (1, width):
        raise ValueError(
            f"output: {spec.output} takes {width} numbers a face; {_name(spec)} gives {tuple(outputs.shape)[1:]}"
        )
    return network


def _materialize(outline: nn.Module, spec: ModelSpec) -> nn.Module:
    """A network with memory for its weights. Where all its values come from the file, none is drawn before."""
    kept = outline.state_dict().keys()
    computed = any(name not in kept for name, _ in outline.named_buffers()) or any(
        isinstance(value, torch.Tensor) for module in outline.modules() for value in vars(module).values()
    )
    return spec.build() if computed else outline.to_empty(device="cpu")


def _check_tensors(state: Mapping[Any, Any], path: Path) -> None:
    """Raises CheckpointError for weights that are no plain tensors in memory."""
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            raise CheckpointError(f"{path}: holds no 'state_dict' of tensors: {key!r:.100} is {type(value).__name__}")
        kind = _odd_kind(value)
        if kind:
            raise CheckpointError(f"{path}: {key}: {kind}; expected a dense tensor of floating-point numbers")


def _odd_kind(value: torch.Tensor) -> str:
    if value.device.type == "meta":
        return "a tensor without values (meta)"
    if value.layout != torch.strided:
        return f"a sparse tensor ({value.layout})"
    if value.is_quantized:
        return "a quantised tensor"
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


def _own_keys(state: Mapping[str, torch.Tensor], path: Path) -> dict[str, torch.Tensor]:
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


def _name(spec: ModelSpec) -> str:
    return f"{spec.architecture} {spec.options}"


def file_hash(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _sha256(file)


def _sha256(file: Any) -> str:  # Python 3.10 has no file_digest.
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def _read(path: Path) -> dict[str, Any]:
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
        raise CheckpointError(f"{path}: damaged or not a checkpoint: {_told(error)}") from error
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


def _spec(path: Path, content: Any) -> ModelSpec:
    if content is not None:
        try:
            return ModelSpec.from_dict(content)
        except ValueError as error:
            raise CheckpointError(f"{path}: {error}") from error
    spec = legacy_spec(path.name)
    if spec is None:
        raise CheckpointError(
            f"{path}: carries no model spec, and its name is not that of a published checkpoint "
            f"(DeepFakeClassifier_tf_efficientnet_b7_ns_0_36, {', '.join(SECOND_PLACE_SPECS)}); give it its published "
            "name back"
        )
    return spec


def _some(keys: list[str], most: int = 5) -> str:
    return ", ".join(keys[:most]) + (f", ... ({len(keys) - most} more)" if len(keys) > most else "")


def _told(error: Exception) -> str:
    return _first_line(str(error)) or type(error).__name__


def _first_line(text: str) -> str:
    return text.strip().split("\n")[0][:200]

"""Checkpoints: saved atomically, loaded without running code, strictly, with their spec."""

from __future__ import annotations

import hashlib
import io
import pickle
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from deepfake import atomic
from deepfake.models import published_to_own
from deepfake.spec import SECOND_PLACE_SPECS, ModelSpec, legacy_spec

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
_DAMAGE = (RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError, struct.error)

_DATA_PARALLEL_PREFIX = "module."


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
    state = {k.removeprefix(_DATA_PARALLEL_PREFIX): v for k, v in network.state_dict().items()}
    # Through memory: torch hides a full disk behind an error of its archive.
    archive = io.BytesIO()
    torch.save({"spec": spec.to_dict(), "state_dict": state, **extra}, archive)
    atomic.write_bytes(Path(path), archive.getbuffer())


def read_checkpoint(path: Path) -> Checkpoint:
    """Reads a checkpoint of this project, or a published one by its file name.

    Raises:
        CheckpointError: missing, truncated, carrying code, without weights, or without a spec.
    """
    path = Path(path)
    content = _read(path)
    state = content.pop("state_dict", None)
    if not isinstance(state, Mapping) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise CheckpointError(f"{path}: holds no 'state_dict' of tensors; not a checkpoint of this project")
    described = content.pop("spec", None)
    spec = _spec(path, described)
    own_key = published_to_own(spec.architecture) if described is None else str
    return Checkpoint(
        path=path,
        state_dict={own_key(k.removeprefix(_DATA_PARALLEL_PREFIX)): v for k, v in state.items()},
        spec=spec,
        extra=content,
    )


def load_model(path: Path, device: str | torch.device = "cpu") -> tuple[nn.Module, ModelSpec]:
    """The network of a checkpoint in evaluation mode, float32, on `device`.

    Raises:
        CheckpointError: see `read_checkpoint`; also if the weights do not fit the architecture exactly.
    """
    checkpoint = read_checkpoint(path)
    try:
        network = checkpoint.spec.build()
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error
    load_weights(network, checkpoint)
    return network.eval().to(device), checkpoint.spec


def load_weights(network: nn.Module, checkpoint: Checkpoint) -> None:
    """Copies a checkpoint's weights into a network, strictly.

    Raises:
        CheckpointError: missing or unexpected keys, or other shapes; the message names them.
    """
    name = f"{checkpoint.spec.architecture} {checkpoint.spec.options}"
    load_state(network, checkpoint.state_dict, checkpoint.path, name)


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Reads a file of nothing but weights, under the network's own keys.

    Raises:
        CheckpointError: missing, truncated, carrying code, or holding anything but tensors.
    """
    state = _read(path)
    if not state or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise CheckpointError(f"{path}: not a file of weights alone: expected a dictionary of tensors")
    return {k.removeprefix(_DATA_PARALLEL_PREFIX): v for k, v in state.items()}


def load_state(network: nn.Module, given: Mapping[str, torch.Tensor], path: Path, name: str) -> None:
    """Copies weights into a network, strictly.

    Args:
        network: takes them in.
        given: the weights by key.
        path, name: of the weights' file and of the network, for the message.

    Raises:
        CheckpointError: missing or unexpected keys, or other shapes; the message names them.
    """
    own = network.state_dict()
    problems = {
        "missing": sorted(own.keys() - given.keys()),
        "unexpected": sorted(given.keys() - own.keys()),
        "of another shape": sorted(
            f"{k} {tuple(given[k].shape)} instead of {tuple(own[k].shape)}"
            for k in own.keys() & given.keys()
            if own[k].shape != given[k].shape
        ),
    }
    if any(problems.values()):
        told = "; ".join(f"{len(keys)} keys {what}: {_some(keys)}" for what, keys in problems.items() if keys)
        raise CheckpointError(f"{path}: the weights do not fit {name}: {told}")
    network.load_state_dict(given)


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
        with torch.serialization.safe_globals(_NUMPY_SCALARS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: refused: it is damaged, or holds more than tensors and plain values, which could run code. "
            f"Get it from its source again ({_first_line(error)})"
        ) from error
    except _DAMAGE as error:
        raise CheckpointError(f"{path}: damaged or not a checkpoint ({_first_line(error)})") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}; expected a checkpoint dictionary")
    return dict(content)


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


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200]

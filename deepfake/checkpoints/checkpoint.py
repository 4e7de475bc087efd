"""Checkpoints: saved atomically, loaded without running code, strictly, with their spec."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from deepfake.checkpoints.published_specs import SECOND_PLACE_SPECS, legacy_spec
from deepfake.checkpoints.spec import OUTPUT_WIDTHS, ModelSpec
from deepfake.models import published_to_own
from deepfake.models.weight_files import (
    CheckpointError,
    build_outline,
    check_tensors,
    compare_keys,
    first_words,
    load_state,
    own_keys,
    read_file,
)
from deepfake.storage import atomic

_STATES = ("state_dict", "model_state_dict", "model")
"""Where a checkpoint keeps its weights; the first that is there."""


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
    state = own_keys(network.state_dict(), path)
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
    content = read_file(path)
    name = next((key for key in _STATES if isinstance(content.get(key), Mapping)), None)
    if name is not None:
        state = content.pop(name)
    elif content and all(isinstance(value, torch.Tensor) for value in content.values()):
        state, content = content, {}  # weights alone
    else:
        raise CheckpointError(f"{path}: holds no 'state_dict' of tensors; not a checkpoint of this project")
    check_tensors(state, path)
    described = content.pop("spec", None)
    spec = _spec(path, described)
    own_key = published_to_own(spec.architecture) if described is None else str
    weights = {own_key(key): value for key, value in own_keys(state, path).items()}
    return Checkpoint(path=path, state_dict=weights, spec=spec, extra=content)


def load_model(path: Path, device: str | torch.device = "cpu") -> tuple[nn.Module, ModelSpec]:
    """Load the network of a checkpoint in evaluation mode, float32, on `device`.

    Raises:
        CheckpointError: see `read_checkpoint`; also if the weights do not fit the architecture exactly or are not
            finite, or the network does not take and give what the spec says.
    """
    checkpoint = read_checkpoint(path)
    try:
        network = _materialize(_outline(checkpoint), checkpoint.spec).eval()
        load_weights(network, checkpoint)
        _check_shapes(network, checkpoint.spec)
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error
    return network.to(device), checkpoint.spec


def load_weights(network: nn.Module, checkpoint: Checkpoint) -> None:
    """Copy a checkpoint's weights into a network, strictly.

    Raises:
        CheckpointError: see `load_state`.
    """
    load_state(network, checkpoint.state_dict, checkpoint.path, _name(checkpoint.spec))


def _outline(checkpoint: Checkpoint) -> nn.Module:
    """The network of a checkpoint without values: before any memory is taken, it is known that the file holds it.

    Raises:
        ValueError: the weights are not those of the spec's network.
    """
    network = build_outline(checkpoint.spec.build).eval()
    compare_keys(network, checkpoint.state_dict, checkpoint.path, _name(checkpoint.spec))
    return network


def _check_shapes(network: nn.Module, spec: ModelSpec) -> None:
    """Score a black picture.

    Raises:
        ValueError: the network does not take pictures of the spec's size, or does not give its number of outputs.
    """
    try:
        with torch.no_grad():
            outputs = network(torch.zeros(1, 3, spec.input_size, spec.input_size))
    except (RuntimeError, ValueError, AssertionError) as error:
        raise ValueError(
            f"{_name(spec)} cannot score pictures of {spec.input_size} pixels: {first_words(error)}"
        ) from error
    width = OUTPUT_WIDTHS[spec.output]
    if tuple(outputs.shape) != (1, width):
        raise ValueError(
            f"output: {spec.output} takes {width} numbers a face; {_name(spec)} gives {tuple(outputs.shape)[1:]}"
        )


def _materialize(outline: nn.Module, spec: ModelSpec) -> nn.Module:
    """A network with memory for its weights. Where all its values come from the file, none is drawn before."""
    kept = outline.state_dict().keys()
    computed = any(name not in kept for name, _ in outline.named_buffers()) or any(
        isinstance(value, torch.Tensor) for module in outline.modules() for value in vars(module).values()
    )
    return spec.build() if computed else outline.to_empty(device="cpu")


def _name(spec: ModelSpec) -> str:
    return f"{spec.architecture} {spec.options}"


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

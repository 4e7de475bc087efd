"""What Triton calls the models of this project, and what it tells of them."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from deepfake.checkpoints.spec import OUTPUT_WIDTHS, ModelSpec

KIND = "deepfake_kind"

NETWORK, WEIGHTING, ENSEMBLE = "network", "weighting", "ensemble"
"""What a model of this project is, the value of its parameter KIND."""

FILE_HASH = "file_sha256"

MOST_NAME = 200
"""Characters of a model's name: file systems take 255, and a part of a name stands before or behind it."""

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")


def model_name(checkpoint: str) -> str:
    """What Triton calls the network of a checkpoint: its file name, if that may stand in folders and addresses;
    otherwise without what may not, and with a checksum, so that no two checkpoints share a name."""
    safe = _UNSAFE.sub("_", checkpoint).lstrip(".")[:MOST_NAME]
    if safe == checkpoint:
        return checkpoint
    return f"{safe}-{hashlib.sha256(checkpoint.encode()).hexdigest()[:8]}"


def output_width(spec: ModelSpec) -> int:
    """How many numbers a network puts out for a face."""
    return OUTPUT_WIDTHS[spec.output]


def parameters_of(config: Any) -> dict[str, str]:
    """Return the parameters of a model's config, by name."""
    return {key: value.string_value for key, value in config.parameters.items()}

"""Where and in how many bits networks compute."""

from __future__ import annotations

import torch

PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
AUTO_PRECISION = {"cpu": "float32", "cuda": "fp16"}
"""float32 agrees with the reference; on a GPU the published code ran in half precision too."""


def choose_device(name: str) -> str:
    """`auto`, `cpu` or `cuda` -> `cpu` or `cuda`.

    Raises:
        ValueError: CUDA is asked for and not there.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: torch sees no CUDA device here; use --device cpu")
    return "cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu"


def choose_precision(name: str, device: str) -> str:
    """`auto` -> what suits the device; other names as they are."""
    return AUTO_PRECISION[device] if name == "auto" else name

"""Where and in how many bits networks compute."""

from __future__ import annotations

import torch

FLOAT32 = "float32"
PRECISIONS = {FLOAT32: torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

AUTO = "auto"

TOLERANCE = {FLOAT32: 1e-3}
REDUCED_TOLERANCE = 1e-2
"""Largest difference of a probability from torch's in float32: of float32 elsewhere, and of every other precision."""


def choose_device(name: str) -> str:
    """Return where to compute, `cpu` or `cuda`; `auto` is CUDA if it is there.

    Raises:
        ValueError: CUDA is asked for and not there, or another device is.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device {name!r}: expected auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: torch sees no CUDA device here; use --device cpu")
    return "cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu"


def fastest_precision(device: str) -> str:
    """Return the name in PRECISIONS that a device computes fastest in.

    That is bf16 on CPUs that multiply it (AMX, AVX-512 BF16), fp16 on CUDA, as the published code did; float32
    elsewhere, where fewer bits are emulated and slower.
    """
    if device == "cuda":
        return "fp16"
    native = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return "bf16" if native else FLOAT32

"""Videos -> scores. `load_predictor` is imported when it is asked for: torch takes seconds, and options need none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deepfake.prediction.loading import load_predictor

__all__ = ["load_predictor"]


def __getattr__(name: str) -> Any:
    if name != "load_predictor":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from deepfake.prediction.loading import load_predictor

    return load_predictor

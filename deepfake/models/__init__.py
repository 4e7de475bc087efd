"""Networks by name."""

from deepfake.models.registry import build_model, model_names, published_to_own, register

__all__ = ["build_model", "model_names", "published_to_own", "register"]

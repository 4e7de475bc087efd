"""Networks by name. Importing a model file registers its builders; this package imports all of them."""

from deepfake.models import classifier  # noqa: F401  (registers)
from deepfake.models.registry import build_model, model_names, register

__all__ = ["build_model", "model_names", "register"]

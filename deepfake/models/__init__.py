"""Networks by name. Importing a model file registers its builders; this package imports all of them."""

from deepfake.models import classifier, wsdan, xception  # noqa: F401  (register)
from deepfake.models.registry import build_model, model_names, published_to_own, register

__all__ = ["build_model", "model_names", "published_to_own", "register"]

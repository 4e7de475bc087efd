"""How the faces of a data set were cropped, so that prediction crops likewise."""

from __future__ import annotations

import logging
from typing import Any

from deepfake.faces.boxes import MARGIN
from deepfake.faces.detectors.settings.mtcnn import PRESETS, PUBLISHED_SCALE, MTCNNSettings
from deepfake.faces.recipes import CropRecipe
from deepfake.storage.schema import from_plain

log = logging.getLogger(__name__)


def crop_recipe(made_with: dict[str, Any] | None, source: str, padding_part: int = MARGIN) -> CropRecipe:
    """The recipe for prediction: prediction's thresholds, the scale rule that the data set's boxes were made with,
    and the margin that the network was trained on.

    Args:
        made_with: the settings in the data set's box files; None, that of published checkpoints, if there are none.
        source: the data set, for messages.
    """
    settings = PRESETS["prediction"]
    if made_with is None:
        log.warning("%s: no box files; prediction will halve frames as for published checkpoints", source)
    else:
        settings = _like(settings, made_with, source)
    return CropRecipe(settings=settings, margin=max(padding_part, MARGIN))


def _like(settings: MTCNNSettings, made_with: dict[str, Any], source: str) -> MTCNNSettings:
    if made_with.get("layout") == "published":
        return settings.with_scale(PUBLISHED_SCALE)
    known = {name: made_with[name] for name in ("scale", "min_face", "factor") if name in made_with}
    return from_plain(MTCNNSettings, {**settings.to_dict(), **known}, source)

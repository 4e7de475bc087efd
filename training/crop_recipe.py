"""How the faces of a data set were cropped, so that prediction crops likewise."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace

from deepfake.boxes import MARGIN, read_boxes
from deepfake.detectors.base import PRESETS, PUBLISHED_SCALE, DetectorSettings
from deepfake.face_recipes import CropRecipe
from deepfake.paths import DataRoot

log = logging.getLogger(__name__)


def crop_recipe(layout: DataRoot, originals: Iterable[str], padding_part: int = MARGIN) -> CropRecipe:
    """The recipe for prediction: prediction's thresholds, the scale rule that the data set's boxes were made with,
    and the margin that the network was trained on.

    The rule is read from the first box file of the originals; without any, it is that of published checkpoints.
    """
    settings = PRESETS["prediction"]
    for video in sorted(set(originals)):
        file = layout.boxes_file(video)
        if file.exists():
            settings = _like(settings, read_boxes(file).settings)
            break
    else:
        log.warning("%s: no box files; prediction will halve frames as for published checkpoints", layout.boxes)
    return CropRecipe(settings=settings, margin=max(padding_part, MARGIN))


def _like(settings: DetectorSettings, made_with: dict) -> DetectorSettings:
    if made_with.get("layout") == "published":
        return settings.with_scale(PUBLISHED_SCALE)
    known = {name: made_with[name] for name in ("scale", "min_face", "factor") if name in made_with}
    return replace(settings, **known)

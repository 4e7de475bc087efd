"""How the faces that a network is to see are cut out of frames; the recipe travels with the network's weights.

First place crops every face with a margin; second place aligns the largest face of a frame by its five landmarks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from deepfake.faces.align import TEMPLATE_SIZE
from deepfake.faces.boxes import MARGIN
from deepfake.faces.detectors.base import DETECTORS, DetectorSettings
from deepfake.faces.detectors.settings.mtcnn import PRESETS
from deepfake.faces.detectors.settings.retinaface import SECOND_PLACE
from deepfake.storage.ranges import check_whole_number, within

MOST_MARGIN = 1000
"""Of faces of fewer pixels, the crop is the box."""
MOST_SIZE = 4096
"""Pixels a side of an aligned picture."""


@dataclass(frozen=True)
class CropRecipe:
    """All faces of a frame, each with some of its surroundings.

    Attributes:
        settings: the detector's; their type says which detector.
        margin: the crop is wider than the box by `size // margin` on each side.
    """

    kind: ClassVar[str] = "crop"

    settings: DetectorSettings = PRESETS["prediction"]
    margin: int = MARGIN

    def __post_init__(self) -> None:
        check_whole_number("margin", self.margin, 1, MOST_MARGIN)


@dataclass(frozen=True)
class AlignRecipe:
    """The largest face of a frame, moved onto the landmark template (`deepfake.faces.align`).

    Attributes:
        settings: the detector's; their type says which detector.
        size: side of the aligned picture in pixels.
    """

    kind: ClassVar[str] = "aligned"

    settings: DetectorSettings = SECOND_PLACE
    size: int = TEMPLATE_SIZE

    def __post_init__(self) -> None:
        check_whole_number("size", self.size, 1, MOST_SIZE)


FaceRecipe = CropRecipe | AlignRecipe

_KINDS: dict[str, type[CropRecipe] | type[AlignRecipe]] = {kind.kind: kind for kind in (CropRecipe, AlignRecipe)}


def recipe_to_dict(recipe: FaceRecipe) -> dict[str, Any]:
    """Plain values, for checkpoints and settings files."""
    own = {"margin": recipe.margin} if isinstance(recipe, CropRecipe) else {"size": recipe.size}
    return {
        "kind": recipe.kind,
        "detector": recipe.settings.detector,
        "settings": recipe.settings.to_dict(),
        **own,
    }


def recipe_from_dict(content: Mapping[str, Any]) -> FaceRecipe:
    """The inverse of `recipe_to_dict`; without `kind` (checkpoints of version 0.1) a crop.

    Raises:
        ValueError: an unknown kind, detector or network, or a value out of its range; the message names the key.
        KeyError, TypeError: keys that are missing or unknown.
    """
    values = dict(content)
    kind, detector = values.pop("kind", CropRecipe.kind), values.pop("detector")
    if kind not in _KINDS:
        raise ValueError(f"kind: {kind!r:.100} unknown; expected one of {', '.join(_KINDS)}")
    settings_type = DETECTORS[detector]
    with within("settings"):
        settings = settings_type.from_dict(values.pop("settings"))
    return _KINDS[kind](settings=settings, **values)

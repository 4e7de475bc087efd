"""How the faces that a network is to see are cut out of frames; the recipe travels with the network's weights.

First place crops every face with a margin; second place aligns the largest face of a frame by its five landmarks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from annotated_types import Interval

from deepfake.faces.align import TEMPLATE_SIZE
from deepfake.faces.boxes import MARGIN
from deepfake.faces.detectors.base import DETECTORS, DetectorSettings
from deepfake.faces.detectors.settings.mtcnn import PRESETS
from deepfake.faces.detectors.settings.retinaface import SECOND_PLACE
from deepfake.storage.schema import from_plain, require, under


@dataclass(frozen=True)
class CropRecipe:
    """All faces of a frame, each with some of its surroundings.

    Attributes:
        settings: the detector's; their type says which detector.
        margin: the crop is wider than the box by `size // margin` on each side.
    """

    kind: ClassVar[str] = "crop"

    settings: DetectorSettings = PRESETS["prediction"]
    margin: Annotated[int, Interval(ge=1, le=1000)] = MARGIN


@dataclass(frozen=True)
class AlignRecipe:
    """The largest face of a frame, moved onto the landmark template (`deepfake.faces.align`).

    Attributes:
        settings: the detector's; their type says which detector.
        size: side of the aligned picture in pixels.
    """

    kind: ClassVar[str] = "aligned"

    settings: DetectorSettings = SECOND_PLACE
    size: Annotated[int, Interval(ge=1, le=4096)] = TEMPLATE_SIZE


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


def recipe_from_dict(content: Any) -> FaceRecipe:
    """Return the recipe that `recipe_to_dict` describes; without `kind` (checkpoints of version 0.1) a crop.

    Raises:
        ValueError: an unknown kind, detector or network, an unknown or missing key, or a value out of its range; the
            message names the key.
    """
    if not isinstance(content, dict):
        raise ValueError(f"expected a mapping; found {content!r:.100}")
    values = {"kind": CropRecipe.kind, **content}
    kind = _named("kind", values.pop("kind"), _KINDS)
    settings_type = _named("detector", values.pop("detector", None), DETECTORS)
    try:
        settings = from_plain(settings_type, values.get("settings"))
    except ValueError as error:
        raise ValueError(under("settings", str(error))) from error
    return from_plain(kind, {**values, "settings": settings})


def _named(key: str, name: Any, kinds: Mapping[str, type[Any]]) -> type[Any]:
    is_known = isinstance(name, str) and name in kinds
    require(is_known, key, f"one of {', '.join(kinds)}; found {name!r:.100}")
    return kinds[name]

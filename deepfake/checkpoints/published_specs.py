"""The specs of the published checkpoints, which carry none."""

from __future__ import annotations

import re

from deepfake.checkpoints.spec import OUTPUT_SOFTMAX, ModelSpec
from deepfake.faces.recipes import AlignRecipe
from deepfake.media.images import SECOND_PLACE, SYMMETRIC, Normalization
from deepfake.published import WSDAN_EFFICIENTNET_B3, WSDAN_XCEPTION, XCEPTION

PUBLISHED_INPUT_SIZE = 380

_PUBLISHED = {"source": "published"}

_PUBLISHED_NAME = re.compile(r"(DeepFakeClassifier(?:SRM|GWAP)?)_(tf_efficientnet_b\d_ns)_\d+_(?:\d+|last|best_dice)")


def legacy_spec(file_name: str) -> ModelSpec | None:
    """The spec of a published checkpoint by its file name, None for any other name.

    First place's names may have anything before and behind; second place's are exact.
    """
    if file_name in SECOND_PLACE_SPECS:
        return SECOND_PLACE_SPECS[file_name]
    match = _PUBLISHED_NAME.search(file_name)
    if match is None:
        return None
    return ModelSpec(
        architecture=match[1],
        options={"encoder": match[2]},
        input_size=PUBLISHED_INPUT_SIZE,
        training=_PUBLISHED,
    )


def _aligned(architecture: str, input_size: int, normalization: Normalization) -> ModelSpec:
    return ModelSpec(architecture, {}, input_size, normalization, AlignRecipe(), OUTPUT_SOFTMAX, _PUBLISHED)


SECOND_PLACE_SPECS = {
    XCEPTION: _aligned("xception", 299, SYMMETRIC),
    WSDAN_XCEPTION: _aligned("wsdan_xception", 320, SECOND_PLACE),
    WSDAN_EFFICIENTNET_B3: _aligned("wsdan_efficientnet_b3", 300, SECOND_PLACE),
}
"""Second place's published checkpoints by file name."""

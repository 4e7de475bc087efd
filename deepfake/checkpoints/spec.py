"""The model spec: what a checkpoint tells its user, so that nobody has to repeat it.

Prediction, export and pictures read architecture, input size, normalization and crop recipe from here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import torch
from annotated_types import Interval
from torch import nn

from deepfake.faces.recipes import CropRecipe, FaceRecipe, recipe_from_dict, recipe_to_dict
from deepfake.media.images import IMAGENET, Normalization
from deepfake.models.registry import build_model
from deepfake.storage.registry import UnknownName
from deepfake.storage.schema import ReadBy, from_plain, require, to_plain

SPEC_FORMAT = 1
PRETRAINED = "pretrained"
"""The builders' option that fetches weights; a spec may not have it, as reading a checkpoint calls nowhere."""

OUTPUT_LOGIT = "logit"
"""One logit; its sigmoid is the probability of fake."""
OUTPUT_SOFTMAX = "softmax"
"""Two logits, of real and of fake; their softmax's second value is the probability of fake."""
OUTPUTS = (OUTPUT_LOGIT, OUTPUT_SOFTMAX)
OUTPUT_WIDTHS = {OUTPUT_LOGIT: 1, OUTPUT_SOFTMAX: 2}
"""How many numbers a network gives for a face."""


@dataclass(frozen=True)
class ModelSpec:
    """What must be known to use a network's weights.

    Attributes:
        architecture: name in the model registry.
        options: the builder's options (encoder, ...), without `pretrained`.
        input_size: side of the square input in pixels.
        normalization: per-channel mean and standard deviation of the input in 0..1.
        crop: how faces were cut out of frames.
        output: one of `OUTPUTS`.
        training: how the weights came about: config, fold, seed, epoch, metric; empty if unknown.
    """

    architecture: str
    options: dict[str, Any]
    input_size: Annotated[int, Interval(ge=1, le=4096)]
    normalization: Normalization = IMAGENET
    crop: Annotated[FaceRecipe, ReadBy(recipe_from_dict)] = field(default_factory=CropRecipe)
    output: str = OUTPUT_LOGIT
    training: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if PRETRAINED in self.options:
            raise ValueError(f"options.{PRETRAINED}: not an option here: the weights are the checkpoint's own")
        require(self.output in OUTPUTS, "output", f"one of {', '.join(OUTPUTS)}; found {self.output!r:.100}")

    def build(self) -> nn.Module:
        """The network with random weights.

        Raises:
            ValueError: the architecture is unknown, or does not have these options.
        """
        try:
            return build_model(self.architecture, **self.options, pretrained=False)
        except UnknownName:
            raise
        except (TypeError, RuntimeError, AttributeError, AssertionError, LookupError) as error:
            named = f"architecture {self.architecture!r:.100} with options {self.options!s:.200}"
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ValueError(f"{named}: {reason:.300}") from error

    def with_training(self, **facts: Any) -> ModelSpec:
        return replace(self, training={**self.training, **facts})

    def to_dict(self) -> dict[str, Any]:
        """Plain values only, so that a checkpoint that holds them loads without unpickling code."""
        return {"format": SPEC_FORMAT, **to_plain(self), "crop": recipe_to_dict(self.crop)}

    @staticmethod
    def from_dict(content: Any) -> ModelSpec:
        """Return the spec that `to_dict` describes.

        Raises:
            ValueError: `content` is not a spec that this version understands, or has a value out of its range; the
                message names the key.
        """
        spec = from_plain(ModelSpec, content, "model spec", file_format=SPEC_FORMAT)
        for key in ("normalization", "crop"):  # whose defaults are for specs that are made, not read
            require(key in content, f"model spec: {key}", "a value; the key is missing")
        return spec


def fake_probability(outputs: torch.Tensor, output: str) -> torch.Tensor:
    """Return the probabilities of fake, (n,) float32; NaN where an output is not finite, as no probability follows.

    Args:
        outputs: a network's, (n, 1), (n,) or (n, 2) as `output` says.
        output: one of `OUTPUTS`.

    Raises:
        ValueError: outputs of another shape.
    """
    width = OUTPUT_WIDTHS[output]
    outputs = (outputs if outputs.ndim > 1 else outputs[:, None]).flatten(1).float()
    if outputs.shape[1] != width:
        raise ValueError(f"the network gives {outputs.shape[1]} numbers for a face; a {output} takes {width}")
    probability = outputs[:, 0].sigmoid() if output == OUTPUT_LOGIT else outputs.softmax(-1)[:, 1]
    return torch.where(outputs.isfinite().all(1), probability, torch.nan)

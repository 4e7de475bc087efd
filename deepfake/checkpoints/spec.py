"""The model spec: what a checkpoint tells its user, so that nobody has to repeat it.

Prediction, export and pictures read architecture, input size, normalisation and crop recipe from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import torch
from torch import nn

from deepfake.faces.recipes import CropRecipe, FaceRecipe, recipe_from_dict, recipe_to_dict
from deepfake.media.images import IMAGENET, Normalization
from deepfake.models.registry import build_model
from deepfake.storage.ranges import check_numbers, check_whole_number, within

SPEC_FORMAT = 1
MAX_INPUT_SIZE = 4096
"""Larger than any network's; a spec that says more is damaged."""

MOST_MEAN = 10.0
STDS = (1e-3, 100.0)
"""Of pictures in 0..1. A smaller divisor would make numbers that no network was trained on; 1/255 is in use."""

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
    input_size: int
    normalization: Normalization = IMAGENET
    crop: FaceRecipe = field(default_factory=CropRecipe)
    output: str = OUTPUT_LOGIT
    training: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.architecture, str):
            raise ValueError(f"architecture: expected a name; found {self.architecture!r:.100}")
        if not isinstance(self.options, dict) or not all(isinstance(key, str) for key in self.options):
            raise ValueError(f"options: expected a mapping from name to value; found {self.options!r:.100}")
        if PRETRAINED in self.options:
            raise ValueError(f"options.{PRETRAINED}: not an option here: the weights are the checkpoint's own")
        if not isinstance(self.training, dict):
            raise ValueError(f"training: expected a mapping; found {self.training!r:.100}")
        check_whole_number("input_size", self.input_size, 1, MAX_INPUT_SIZE)
        check_numbers("normalization.mean", self.normalization.mean, 3, -MOST_MEAN, MOST_MEAN)
        check_numbers("normalization.std", self.normalization.std, 3, *STDS)
        if not isinstance(self.output, str) or self.output not in OUTPUTS:
            raise ValueError(f"output: {self.output!r:.100} unknown; expected one of {', '.join(OUTPUTS)}")

    def build(self) -> nn.Module:
        """The network with random weights.

        Raises:
            ValueError: the architecture is unknown, or does not have these options.
        """
        try:
            return build_model(self.architecture, **self.options, pretrained=False)
        except (TypeError, RuntimeError, AttributeError, AssertionError, LookupError) as error:
            named = f"architecture {self.architecture!r:.100} with options {self.options!s:.200}"
            told = (str(error).splitlines() or [type(error).__name__])[0]
            raise ValueError(f"{named}: {told:.300}") from error

    def with_training(self, **facts: Any) -> ModelSpec:
        return replace(self, training={**self.training, **facts})

    def to_dict(self) -> dict[str, Any]:
        """Plain values only, so that a checkpoint that holds them loads without unpickling code."""
        content = asdict(self)
        content["crop"] = recipe_to_dict(self.crop)
        content["normalization"] = {
            "mean": list(self.normalization.mean),
            "std": list(self.normalization.std),
        }
        return {"format": SPEC_FORMAT, **content}

    @staticmethod
    def from_dict(content: Mapping[str, Any]) -> ModelSpec:
        """Return the spec that `to_dict` describes.

        Raises:
            ValueError: `content` is not a spec that this version understands, or has a value out of its range; the
                message names the key.
        """
        try:
            values = dict(content)
            if values.pop("format") != SPEC_FORMAT:
                raise ValueError(f"format: this version reads {SPEC_FORMAT}; found format {content['format']!r:.100}")
            with within("crop"):
                crop = recipe_from_dict(values.pop("crop"))
            normalization = {name: tuple(v) for name, v in values.pop("normalization").items()}
            return ModelSpec(normalization=Normalization(**normalization), crop=crop, **values)
        except (KeyError, TypeError, AttributeError) as error:
            known = ", ".join(f.name for f in fields(ModelSpec))
            raise ValueError(f"model spec: not understood ({str(error)[:200]}); expected {known}") from error
        except ValueError as error:
            raise ValueError(f"model spec: {error}") from error


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

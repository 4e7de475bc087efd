"""Loaded models, checkpoints in torch or files made from them, and the description of a run with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from deepfake.checkpoints.spec import ModelSpec
from deepfake.checkpoints.trained_groups import GROUPS
from deepfake.faces.detectors.settings.whole_picture import WholePictureSettings
from deepfake.faces.recipes import recipe_to_dict
from deepfake.media.images import Normalization
from deepfake.models.precision import AUTO, FLOAT32
from deepfake.prediction.face_collector import FaceSource, FaceView
from deepfake.prediction.face_scorer import FaceScorer
from deepfake.prediction.precision_check import PrecisionCheck
from deepfake.scoring.aggregation import AGGREGATIONS, MAX_PERSON, OF_FAMILY

TRAINED_GROUPS = "trained_groups"
"""The key of a run's details that says which groups of videos its networks were trained on."""

TORCH = "torch"
"""The backend that runs checkpoints; the others run the files that `python -m export` makes of them."""
OPENVINO = "openvino"
"""The one that runs checkpoints too: converted when they are loaded."""
TRITON = "triton"
"""The backend whose files a server runs."""


@dataclass(frozen=True)
class ExportedFile:
    """What a network is that torch does not run.

    Attributes:
        backend: what runs it.
        file: its path; of one that a server runs, the model's name there.
        sha256: of the file.
        precision: in which it computes, a name of `deepfake.backends.facts`.
        normalization: what pictures in 0..1 go through before it sees them.
        checkpoint: where the checkpoint that it was made from lies, if it is there.
    """

    backend: str
    file: Path
    sha256: str
    precision: str
    normalization: Normalization
    checkpoint: Path


@dataclass(frozen=True)
class ScoringModel:
    """A network ready to score.

    Attributes:
        name: its checkpoint's.
        network: in evaluation mode.
        spec: what its checkpoint tells; the recipe for faces may be another detector's.
        sha256: of its checkpoint.
        source: the faces it is given.
        weight: its share of the ensemble's score, relative to the others'.
        aggregation: how its face scores become its video score, a name in `deepfake.scoring.aggregation.AGGREGATIONS`.
        exported: of a network that is an exported file.
        converted: the `openvino.Model` that scores in the network's place.
    """

    name: str
    network: nn.Module
    spec: ModelSpec
    sha256: str
    source: FaceSource = field(default_factory=FaceSource)
    weight: float = 1.0
    aggregation: str = "confident"
    exported: ExportedFile | None = None
    converted: Any = None

    @property
    def backend(self) -> str:
        """What runs it."""
        if self.exported is not None:
            return self.exported.backend
        return TORCH if self.converted is None else OPENVINO

    @property
    def normalization(self) -> Normalization:
        """What pictures in 0..1 go through before the network sees them."""
        return self.spec.normalization if self.exported is None else self.exported.normalization

    @property
    def view(self) -> FaceView:
        return FaceView.of(self.source, self.spec.input_size)


def on_finished_crops(model: ScoringModel) -> ScoringModel:
    """Return the model for pictures that are faces cut out already: nothing is detected in them."""
    recipe = replace(model.source.recipe, settings=WholePictureSettings())
    return replace(model, source=replace(model.source, recipe=recipe))


def trained_groups(models: Sequence[ScoringModel]) -> dict[str, Any]:
    """Return for the details of a run what each model was trained on, by its name: digests, None if not known."""
    return {TRAINED_GROUPS: {model.name: model.spec.training.get(GROUPS) for model in models}}


def make_scorer(model: ScoringModel, precision: str, compiled: bool = False) -> FaceScorer:
    """Return what scores faces with a model. An exported file computes as it was made to."""
    network, own = model.network, precision
    if model.converted is not None:
        from deepfake.backends.conversion import converted_network

        network = converted_network(model.converted, precision)
    if model.backend != TORCH:
        own, compiled = FLOAT32, False
    return FaceScorer(network, model.normalization, own, model.spec.output, model.spec.input_size, compiled)


def exported_precision(models: Sequence[ScoringModel], asked: str) -> str:
    """Return in which precision exported files compute: they decide; several, joined by +, if they differ.

    Raises:
        ValueError: another one is asked for than `auto`.
    """
    for model in models:
        if model.exported is not None and asked not in (AUTO, model.exported.precision):
            raise ValueError(
                f"--precision {asked}: {model.exported.file} computes in {model.exported.precision}; leave --precision "
                f"out, or export it again with --precision"
            )
    return "+".join(sorted({model.exported.precision for model in models if model.exported is not None}))


def describe_run(
    models: Sequence[ScoringModel],
    device: str,
    precision: str,
    aggregate: str = OF_FAMILY,
    compiled: bool = False,
    check: PrecisionCheck | None = None,
) -> dict[str, Any]:
    """Return what the results of a run depend on beside the videos, as plain JSON values.

    Args:
        check: why it computes in `precision`, if that was tried.
    """
    sources = list(dict.fromkeys(model.source for model in models))
    described = []
    for model in models:
        spec = model.spec.to_dict()
        del spec["crop"], spec["training"]
        described.append(
            {
                "name": model.name,
                "sha256": model.sha256,
                "weight": model.weight,
                "aggregation": _rule(model, aggregate),
                "crop_recipe": sources.index(model.source),
                **spec,
                **_exported_facts(model),
            }
        )
    return {
        "models": described,
        "crop_recipes": [
            {**recipe_to_dict(s.recipe), "frames": asdict(s.frames), "max_faces": s.max_faces} for s in sources
        ],
        "settings": {
            "backend": "+".join(sorted({model.backend for model in models})),
            "device": device,
            "precision": precision,
            "precision_check": None if check is None else asdict(check),
            "compiled": compiled,
            "aggregate": aggregate,
            "ensemble": "weighted mean over models of their aggregated face scores",
        },
    }


def _exported_facts(model: ScoringModel) -> dict[str, Any]:
    """What scores depend on if the network is an exported file."""
    if (file := model.exported) is None:
        return {}
    return {"exported": {"file": file.file.name, "sha256": file.sha256, "precision": file.precision}}


def _rule(model: ScoringModel, aggregate: str) -> str:
    """How a model's face scores become the video's, in words: a calibration is for one way only."""
    if aggregate == MAX_PERSON:
        return f"{model.aggregation} of each person, highest of all"
    return aggregate if aggregate in AGGREGATIONS else model.aggregation

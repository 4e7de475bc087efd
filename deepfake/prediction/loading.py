"""Loading an ensemble: checkpoints, exported files or a server's models, ready to score."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from deepfake.checkpoints.checkpoint import load_model
from deepfake.faces.detectors.base import DetectorSettings
from deepfake.faces.recipes import AlignRecipe, CropRecipe
from deepfake.media.video import LIMITS, ReadLimits
from deepfake.models.precision import AUTO, choose_device
from deepfake.models.weight_files import file_hash
from deepfake.prediction.ensemble import Member
from deepfake.prediction.face_collector import FaceSource
from deepfake.prediction.predictor import Predictor, warm_up
from deepfake.prediction.scoring_model import TORCH, TRITON, ExportedFile, ScoringModel

log = logging.getLogger(__name__)

USUAL_AGGREGATION = {CropRecipe.kind: "confident", AlignRecipe.kind: "mean"}
"""How the face scores of a network become one where the ensemble does not say: as its family's authors did."""


class NoUseForDetector(ValueError):
    """Another detector is asked for, but no network sees aligned faces."""


def load_models(
    members: Sequence[Member],
    device: str = "cpu",
    detector: DetectorSettings | None = None,
    backend: str = TORCH,
    url: str | None = None,
) -> list[ScoringModel]:
    """Loads an ensemble's checkpoints, strictly, or the files exported from them.

    Args:
        detector: finds the faces for networks that see aligned ones, instead of the detector of their recipes.
        backend: TORCH; a name in `FILE_FORMATS`: the exported files lie where the checkpoints would; or TRITON: a
            server runs them.
        url: that server's HOST:PORT for gRPC; None for `deepfake.backends.triton.DEFAULT_URL`.

    Raises:
        ValueError: none, two of one name, one that is missing or cannot be used (CheckpointError; exported files:
            `deepfake.backends.facts.ExportError`; the server too), or a `detector` that no network has use for
            (NoUseForDetector).
    """
    names = [member.name for member in members]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"models {', '.join(names) or '(none)'}: expected one or more, each once")
    load = _loader(backend, url)
    models = [_with_faces(load(member, device), member, detector) for member in members]
    if detector is not None and not any(isinstance(model.source.recipe, AlignRecipe) for model in models):
        raise NoUseForDetector("another detector is for networks that see aligned faces; none of these does")
    return models


def _loader(backend: str, url: str | None) -> Callable[[Member, str], ScoringModel]:
    if backend == TRITON:
        from deepfake.backends.triton import DEFAULT_URL, Server

        return partial(_load_served, Server(url or DEFAULT_URL))
    return _load_checkpoint if backend == TORCH else partial(_load_exported, backend)


def _load_checkpoint(member: Member, device: str) -> ScoringModel:
    network, spec = load_model(member.checkpoint, device)
    return ScoringModel(member.name, network, spec, file_hash(member.checkpoint))


def _load_exported(backend: str, member: Member, device: str) -> ScoringModel:
    from deepfake.backends.exported import checkpoint_path, exported_path, open_exported

    network = open_exported(member.checkpoint, backend, device)
    facts, file = network.facts, exported_path(member.checkpoint, backend)
    checkpoint = checkpoint_path(member.checkpoint, backend)
    exported = ExportedFile(backend, file, file_hash(file), facts.precision, facts.normalization, checkpoint)
    return ScoringModel(checkpoint.name, network, facts.spec, facts.sha256, exported=exported)


def _load_served(server: Any, member: Member, device: str) -> ScoringModel:
    from deepfake.backends.triton import open_served
    from deepfake.backends.triton_models import model_name

    network = open_served(member.checkpoint, server)
    facts, name = network.facts, model_name(member.name)
    # Where the server is, is no part of what the scores are.
    exported = ExportedFile(
        TRITON, Path(name), network.served.sha256, facts.precision, facts.normalization, member.checkpoint
    )
    return ScoringModel(member.name, network, facts.spec, facts.sha256, exported=exported)


def _with_faces(model: ScoringModel, member: Member, detector: DetectorSettings | None) -> ScoringModel:
    """The model with the faces and the say that it has in the ensemble."""
    recipe = model.spec.crop
    if detector is not None and isinstance(recipe, AlignRecipe):
        recipe = replace(recipe, settings=detector)
    return replace(
        model,
        source=FaceSource(recipe, member.frames, member.max_faces),
        weight=member.weight,
        aggregation=member.aggregation or USUAL_AGGREGATION[recipe.kind],
    )


def load_predictor(
    members: Sequence[Member],
    device: str = "auto",
    detector: DetectorSettings | None = None,
    weights_dir: Path = Path("weights"),
    precision: str = AUTO,
    limits: ReadLimits = LIMITS,
) -> Predictor:
    """Loads an ensemble for good: what serves one file after the other.

    Args:
        device: `auto`, `cpu` or `cuda`.
        precision: see `Predictor`.
        limits: of reading one file.

    Raises:
        ValueError: see `choose_device`, `load_models`, `Predictor`.
    """
    device = choose_device(device)
    models = load_models(members, device, detector)
    predictor = Predictor(models, device=device, precision=precision, weights_dir=weights_dir, limits=limits)
    if predictor.check is not None:
        log.log(logging.INFO if predictor.check.kept else logging.WARNING, "computing in %s", predictor.check.summary())
    warm_up(models, predictor.scorers)
    return predictor

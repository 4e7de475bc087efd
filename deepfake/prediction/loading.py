"""Loading an ensemble (checkpoints, exported files or a server's models), and making it ready to score."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from deepfake.checkpoints.checkpoint import load_model
from deepfake.faces.detectors.base import WEIGHTS, DetectorSettings
from deepfake.faces.recipes import AlignRecipe, CropRecipe
from deepfake.media.video import LIMITS, ReadLimits
from deepfake.models.precision import AUTO, FLOAT32, choose_device
from deepfake.models.weight_files import file_hash
from deepfake.prediction.ensemble import Member, find_members
from deepfake.prediction.face_collector import FaceSource
from deepfake.prediction.face_stream import FaceFinder
from deepfake.prediction.precision_choice import choose_precision
from deepfake.prediction.predictor import Predictor, warm_up
from deepfake.prediction.run import earlier_check
from deepfake.prediction.scoring_model import OPENVINO, TORCH, TRITON, ExportedFile, ScoringModel
from deepfake.published import check_present
from deepfake.scoring.aggregation import OF_FAMILY

log = logging.getLogger(__name__)

USUAL_AGGREGATION = {CropRecipe.kind: "confident", AlignRecipe.kind: "mean"}
"""How the face scores of a network become one where the ensemble does not say: as its family's authors did."""

FEWEST_TO_CONVERT_FOR = 16
"""Videos: with EfficientNets, converting takes as long as OpenVINO saves in ten videos of 32 faces (EXPERIMENTS.md)."""


class NoUseForDetector(ValueError):
    """Another detector is asked for, but no network sees aligned faces."""


def load_models(
    members: Sequence[Member],
    device: str = "cpu",
    detector: DetectorSettings | None = None,
    backend: str = TORCH,
    url: str | None = None,
) -> list[ScoringModel]:
    """Load an ensemble's checkpoints, strictly, or the files exported from them.

    Args:
        detector: finds the faces for networks that see aligned ones, instead of the detector of their recipes.
        backend: TORCH; AUTO, OpenVINO for each checkpoint that it can run as torch does, and torch for the others; a
            name in `FILE_FORMATS`: the exported files lie where the checkpoints would; or TRITON: a server runs them.
            OPENVINO runs the checkpoints where no member has an exported file.
        url: that server's HOST:PORT for gRPC; None for `deepfake.backends.triton.DEFAULT_URL`.

    Raises:
        ValueError: none, two of one name, one that is missing or cannot be used (CheckpointError; exported files:
            `deepfake.backends.facts.ExportError`; the server too), or a `detector` that no network has use for
            (NoUseForDetector).
    """
    names = [member.name for member in members]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"models {', '.join(names) or '(none)'}: expected one or more, each once")
    load = _loader(members, backend, url)
    models = [_with_faces(load(member, device), member, detector) for member in members]
    if detector is not None and not any(isinstance(model.source.recipe, AlignRecipe) for model in models):
        raise NoUseForDetector("another detector is for networks that see aligned faces; none of these does")
    return models


def _loader(members: Sequence[Member], backend: str, url: str | None) -> Callable[[Member, str], ScoringModel]:
    if backend == TRITON:
        from deepfake.backends.triton import DEFAULT_URL, Server

        return partial(_load_served, Server(url or DEFAULT_URL))
    if backend == AUTO or (backend == OPENVINO and _nothing_exported(members)):
        return partial(_load_converted, backend)
    return _load_checkpoint if backend == TORCH else partial(_load_exported, backend)


def _nothing_exported(members: Sequence[Member]) -> bool:
    """Return whether the checkpoints are there, and no file that OpenVINO could run instead."""
    from deepfake.backends.exported import exported_path

    files = [(member.checkpoint, exported_path(member.checkpoint, OPENVINO)) for member in members]
    return all(checkpoint.is_file() and not exported.is_file() for checkpoint, exported in files)


def _load_checkpoint(member: Member, device: str) -> ScoringModel:
    network, spec = load_model(member.checkpoint, device)
    return ScoringModel(member.name, network, spec, file_hash(member.checkpoint))


def _load_converted(backend: str, member: Member, device: str) -> ScoringModel:
    from deepfake.backends.conversion import CannotConvert, convert

    model = _load_checkpoint(member, "cpu")
    try:
        return replace(model, converted=convert(model.network, model.spec.input_size))
    except CannotConvert as error:
        if backend != AUTO:
            raise CannotConvert(f"{member.checkpoint}: {error}; use --backend torch") from error
        log.info("%s: computed by torch: %s", member.name, error)
        return model


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


def choose_backend(asked: str, device: str, precision: str, videos: int, compiled: bool = False) -> str:
    """Return what `load_models` takes for the backend that is asked for: AUTO becomes TORCH where OpenVINO is not
    installed, where the run does not compute on a CPU in what OpenVINO computes in, or where it has so few videos that
    converting would take longer than it saves.

    Args:
        precision: a name in PRECISIONS, or AUTO.
        videos: how many the run scores.
        compiled: whether torch's networks are to be compiled.
    """
    from deepfake.backends.conversion import can_convert_here

    if asked != AUTO:
        return asked
    fits = device == "cpu" and precision != "fp16" and not compiled and videos >= FEWEST_TO_CONVERT_FOR
    return AUTO if fits and can_convert_here() else TORCH


def build_predictor(
    models: Sequence[ScoringModel],
    *,
    device: str = "cpu",
    precision: str = FLOAT32,
    compiled: bool = False,
    weights_dir: Path = WEIGHTS,
    aggregate: str = OF_FAMILY,
    workers: int = 1,
    videos: Sequence[Path] = (),
    begun: Mapping[str, Any] | None = None,
    limits: ReadLimits = LIMITS,
) -> Predictor:
    """Return a predictor of loaded models, in the precision that is asked for or that a trial allows.

    Args:
        device: where to score, and on CUDA where to detect: `cpu` or `cuda`.
        precision: see `choose_precision`.
        compiled: whether torch's networks are compiled, for a minute or more each.
        weights_dir: the folder of the detectors' weights, if they need any.
        aggregate: one of `deepfake.scoring.aggregation.AGGREGATE_CHOICES`.
        workers: processes that decode and, without CUDA, detect ahead of the scoring.
        videos: all that are to be scored, if they are known: see `choose_precision`.
        begun: the description of a stopped run that this one may continue (`deepfake.storage.journal.begun_run`): if
            all else is the same, it computes as that did.
        limits: what reading one video may take; one over a limit is unreadable.

    Raises:
        ValueError: a detector's weights are missing or not its own; or see `choose_precision`.
    """
    faces = FaceFinder([model.view for model in models], device, weights_dir, workers, limits)
    earlier = earlier_check(begun, models, device, aggregate, compiled)
    choice = choose_precision(models, faces, precision, videos, earlier)
    return Predictor(models, faces, choice, aggregate, compiled)


def load_predictor(
    models: str | Path | Sequence[str | Path | Member],
    device: str = "auto",
    detector: DetectorSettings | None = None,
    weights_dir: str | Path = WEIGHTS,
    precision: str = AUTO,
    limits: ReadLimits = LIMITS,
) -> Predictor:
    """Load an ensemble for good, to score one file after the other.

    Args:
        models: a checkpoint or several, in equal shares; the name of an ensemble that comes with the software, or its
            file, which ends in .json; or its members.
        device: `auto`, `cpu` or `cuda`.
        detector: see `load_models`.
        weights_dir: the folder of an ensemble's checkpoints and of the detectors' weights, if they need any.
        precision: see `choose_precision`; tried on two portraits.
        limits: of reading one file.

    Raises:
        ValueError: a checkpoint is missing; or see `find_members`, `choose_device`, `load_models`, `build_predictor`.
    """
    members = find_members(models, Path(weights_dir))
    check_present([member.checkpoint for member in members])
    device = choose_device(device)
    loaded = load_models(members, device, detector)
    predictor = build_predictor(
        loaded, device=device, precision=precision, weights_dir=Path(weights_dir), limits=limits
    )
    if predictor.check is not None:
        log.log(logging.INFO if predictor.check.kept else logging.WARNING, "computing in %s", predictor.check.summary())
    warm_up(loaded, predictor.scorers)
    return predictor

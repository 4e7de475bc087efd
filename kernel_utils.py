"""video -> faces -> scores -> one number: what notebooks import.

`predict_videos` is the pipeline of predict_folder.py: processes decode videos and find faces while this one scores.
`predict_on_video` and `predict_on_video_set` are the published entry points, over the same steps.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from deepfake.checkpoints import file_hash, load_model
from deepfake.detectors.base import AnySettings
from deepfake.detectors.build import build_detector
from deepfake.detectors.stream import CHUNK_FRAMES
from deepfake.ensemble import Member
from deepfake.face_recipes import AlignRecipe, CropRecipe, recipe_to_dict
from deepfake.faces import (
    FaceCollection,
    FaceCollector,
    FaceSource,
    FaceView,
    VideoFaces,
    crop_faces,
)
from deepfake.images import IMAGENET, Normalization, fit_square
from deepfake.persons import link_persons
from deepfake.processes import Unwanted, WorkerDied, check_wanted, stream
from deepfake.results import (
    CRASHED,
    FAILED,
    NO_FACE,
    OK,
    UNREADABLE,
    PersonScore,
    ScoredFace,
    VideoResult,
    most_scored,
)
from deepfake.scoring import (
    AGGREGATIONS,
    FAKE_THRESHOLD,
    FRAMES_PER_VIDEO,
    MAX_PERSON,
    OF_FAMILY,
    Aggregation,
    confident_score,
    ensemble_score,
    max_person_score,
)
from deepfake.spec import OUTPUT_LOGIT, ModelSpec, fake_probability
from deepfake.video import Frame, VideoError, chunked, iter_chosen, iter_spread

log = logging.getLogger(__name__)

PUBLISHED_ROOM = 4
"""The published code makes room for four faces a frame, and leaves the last place empty."""

COMPRESSION_QUALITY = 90
"""JPEG quality of `apply_compression`, as published."""

SCORE_BATCH = {"cpu": 8, "cuda": 64}
"""Faces a network call: bounds memory; on a CPU larger ones are no faster."""

PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
AUTO_PRECISION = {"cpu": "float32", "cuda": "fp16"}
"""float32 agrees with the reference; on a GPU the published code ran in half precision too."""

USUAL_AGGREGATION = {CropRecipe.kind: "confident", AlignRecipe.kind: "mean"}
"""How the face scores of a network become one where the ensemble does not say: as its family's authors did."""

PREFETCHED_VIDEOS = 2
"""On CUDA: videos with their faces found that wait to be scored."""


TORCH = "torch"
"""The backend that runs checkpoints; the others run the files that `python -m export` makes of them."""


class NoUseForDetector(ValueError):
    """Another detector is asked for, but no network sees aligned faces."""


Reader = Callable[[Any], tuple[np.ndarray, Sequence[int]]]


class ScoringError(ValueError):
    """A network gave a score that is not a number."""


class VideoReader:
    """Reads frames spread evenly over a video."""

    def read_frames(self, path: str | Path, num_frames: int = FRAMES_PER_VIDEO) -> tuple[np.ndarray, list[int]]:
        """(n, H, W, 3) uint8 RGB frames from the first to the last, n <= num_frames, and their indices.

        Raises:
            VideoError: unreadable, or not one frame in it.
        """
        frames = list(iter_spread(Path(path), num_frames, threads=1))
        return np.stack([frame.image for frame in frames]), [frame.index for frame in frames]


class FaceExtractor:
    """Finds and crops the faces of a video.

    Args:
        video_read_fn: path -> (frames (n, H, W, 3) uint8 RGB, their n indices), e.g. `VideoReader().read_frames`.
        recipe: detector settings and margin; default: first place's for prediction.
        device: where to detect.
    """

    def __init__(self, video_read_fn: Reader, recipe: CropRecipe | None = None, device: str = "cpu") -> None:
        self.video_read_fn = video_read_fn
        self.recipe = recipe or CropRecipe()
        self.device = torch.device(device)
        self._detector = build_detector(self.recipe.settings, device)

    def process_video(self, video_path: str | Path) -> list[dict[str, Any]]:
        """One entry a frame: `frame_idx`, `frame_w`, `frame_h`, `faces` (crops, (h, w, 3) uint8 RGB, largest first),
        `boxes` (x1, y1, x2, y2 in full-frame pixels) and `scores` (the detector's confidences).

        Raises:
            VideoError: see VideoReader.read_frames.
        """
        return self.process_frames(*self.video_read_fn(video_path))

    def process_frames(self, frames: np.ndarray, indices: Sequence[int]) -> list[dict[str, Any]]:
        """`process_video` for frames that are read already."""
        entries = []
        for chunk in chunked(Frame(index, image) for index, image in zip(indices, frames)):
            for frame, faces in zip(chunk, self._detector.detect([frame.image for frame in chunk])):
                found = list(crop_faces(frame.image, faces, self.recipe.margin))
                height, width = frame.image.shape[:2]
                entries.append(
                    {
                        "frame_idx": frame.index,
                        "frame_w": width,
                        "frame_h": height,
                        "faces": [crop for _, crop in found],
                        "boxes": [face.box for face, _ in found],
                        "scores": [face.score for face, _ in found],
                    }
                )
        return entries


def confident_strategy(pred: Sequence[float] | np.ndarray, t: float = FAKE_THRESHOLD) -> float:
    """First place's aggregation under its published name; see `deepfake.scoring.confident_score`."""
    return confident_score(pred, t)


@dataclass(frozen=True)
class ExportedFile:
    """What a network is that torch does not run.

    Attributes:
        backend: what runs it.
        file: its path.
        sha256: of the file.
        precision: in which it computes, a name of `export.facts`.
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
        aggregation: how its face scores become its video score, a name in `deepfake.scoring.AGGREGATIONS`.
        exported: of a network that is an exported file.
    """

    name: str
    network: nn.Module
    spec: ModelSpec
    sha256: str
    source: FaceSource = field(default_factory=FaceSource)
    weight: float = 1.0
    aggregation: str = "confident"
    exported: ExportedFile | None = None

    @property
    def normalization(self) -> Normalization:
        """What pictures in 0..1 go through before the network sees them."""
        return self.spec.normalization if self.exported is None else self.exported.normalization

    @property
    def view(self) -> FaceView:
        return FaceView.of(self.source, self.spec.input_size)


def load_models(
    members: Sequence[Member], device: str = "cpu", detector: AnySettings | None = None, backend: str = TORCH
) -> list[ScoringModel]:
    """Loads an ensemble's checkpoints, strictly, or the files exported from them.

    Args:
        detector: finds the faces for networks that see aligned ones, instead of the detector of their recipes.
        backend: TORCH, or a name in `export.formats.FORMATS`: the exported files lie where the checkpoints would.

    Raises:
        ValueError: none, two of one name, one that is missing or cannot be used (CheckpointError; exported files:
            `export.facts.ExportError`), or a `detector` that no network has use for (NoUseForDetector).
    """
    names = [member.name for member in members]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"models {', '.join(names) or '(none)'}: expected one or more, each once")
    load = _load_checkpoint if backend == TORCH else partial(_load_exported, backend)
    models = [_with_faces(load(member, device), member, detector) for member in members]
    if detector is not None and not any(isinstance(model.source.recipe, AlignRecipe) for model in models):
        raise NoUseForDetector("another detector is for networks that see aligned faces; none of these does")
    return models


def _load_checkpoint(member: Member, device: str) -> ScoringModel:
    network, spec = load_model(member.checkpoint, device)
    return ScoringModel(member.name, network, spec, file_hash(member.checkpoint))


def _load_exported(backend: str, member: Member, device: str) -> ScoringModel:
    from export.scorers import checkpoint_path, exported_path, open_exported

    network = open_exported(member.checkpoint, backend, device)
    facts, file = network.facts, exported_path(member.checkpoint, backend)
    checkpoint = checkpoint_path(member.checkpoint, backend)
    exported = ExportedFile(backend, file, file_hash(file), facts.precision, facts.normalization, checkpoint)
    return ScoringModel(checkpoint.name, network, facts.spec, facts.sha256, exported=exported)


def _with_faces(model: ScoringModel, member: Member, detector: AnySettings | None) -> ScoringModel:
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


def choose_device(name: str) -> str:
    """`auto`, `cpu` or `cuda` -> `cpu` or `cuda`.

    Raises:
        ValueError: CUDA is asked for and not there.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: torch sees no CUDA device here; use --device cpu")
    return "cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu"


def choose_precision(name: str, device: str) -> str:
    """`auto` -> what suits the device; other names as they are."""
    return AUTO_PRECISION[device] if name == "auto" else name


def exported_precision(models: Sequence[ScoringModel], asked: str) -> str:
    """In which precision exported files compute: they decide; several, joined by +, if they differ.

    Raises:
        ValueError: another one is asked for than `auto`.
    """
    for model in models:
        if model.exported is not None and asked not in ("auto", model.exported.precision):
            raise ValueError(
                f"--precision {asked}: {model.exported.file} computes in {model.exported.precision}; leave --precision "
                f"out, or export it again with --precision"
            )
    return "+".join(sorted({model.exported.precision for model in models if model.exported is not None}))


class FaceInput:
    """Pictures of faces -> the batches that a network takes, where its weights are.

    Args:
        network: takes (n, 3, s, s) normalised pictures.
        input_size: pictures of another size are resized to this, bilinearly (second place); None takes them as they
            are.
    """

    def __init__(
        self, network: nn.Module, normalization: Normalization = IMAGENET, input_size: int | None = None
    ) -> None:
        weights = next(network.parameters())
        self.device = weights.device
        self.dtype = weights.dtype
        self._input_size = input_size
        self._mean = torch.tensor(normalization.mean, device=self.device)[:, None, None]
        self._std = torch.tensor(normalization.std, device=self.device)[:, None, None]

    def batches(self, images: np.ndarray) -> Iterator[torch.Tensor]:
        """(n, s, s, 3) uint8 RGB -> (up to SCORE_BATCH, 3, s, s) tensors in the weights' type."""
        size = SCORE_BATCH.get(self.device.type, SCORE_BATCH["cpu"])
        for start in range(0, len(images), size):
            yield self._normalised(images[start : start + size])

    def _normalised(self, images: np.ndarray) -> torch.Tensor:
        pixels = torch.from_numpy(np.ascontiguousarray(images)).to(self.device).permute(0, 3, 1, 2)
        values = pixels.float() / 255
        if self._input_size not in (None, pixels.shape[-1]):
            values = functional.interpolate(values, size=self._input_size, mode="bilinear")
        return ((values - self._mean) / self._std).to(self.dtype)


class FaceScorer:
    """Scores pictures of faces with one network, in batches, where the network's weights are.

    Args:
        network: (n, 3, s, s) normalised pictures -> what `output` says, in evaluation mode.
        precision: a name in PRECISIONS for mixed precision; None computes in the weights' own.
        output: one of `deepfake.spec.OUTPUTS`.
        input_size: see `FaceInput`.
    """

    def __init__(
        self,
        network: nn.Module,
        normalization: Normalization = IMAGENET,
        precision: str | None = None,
        output: str = OUTPUT_LOGIT,
        input_size: int | None = None,
    ) -> None:
        self._output = output
        self.network = network.to(memory_format=torch.channels_last)
        self._input = FaceInput(network, normalization, input_size)
        mixed = None if precision is None else PRECISIONS[precision]
        self._autocast = None if mixed == self._input.dtype else mixed

    @torch.inference_mode()
    def __call__(self, images: np.ndarray) -> np.ndarray:
        """(n, s, s, 3) uint8 RGB -> (n,) float32 probabilities of fake.

        Raises:
            ScoringError: a score is not a number.
        """
        scores = np.concatenate([np.empty(0, np.float32), *map(self._score, self._input.batches(images))])
        if not np.isfinite(scores).all():
            raise ScoringError("the network gave a score that is not a number; try --precision float32")
        return scores

    def _score(self, batch: torch.Tensor) -> np.ndarray:
        with torch.autocast(self._input.device.type, self._autocast, enabled=self._autocast is not None):
            outputs = self.network(batch)
        return fake_probability(outputs, self._output).cpu().numpy()


def predict_videos(
    videos: Sequence[Path],
    models: Sequence[ScoringModel],
    *,
    device: str = "cpu",
    precision: str = "float32",
    workers: int = 1,
    weights_dir: Path = Path("weights"),
    aggregate: str = OF_FAMILY,
) -> Generator[tuple[Path, VideoResult], None, None]:
    """Scores videos with an ensemble: the weighted mean over models of each model's aggregated face scores.

    Yields each video once, in the order of completion; a video that cannot be scored has a status that says why.

    Args:
        device: where to score, and on CUDA where to detect.
        precision: a name in PRECISIONS; exported files compute as they were made to.
        workers: processes that decode and, without CUDA, detect ahead of the scoring.
        weights_dir: the folder of the detectors' weights, if they need any.
        aggregate: one of `deepfake.scoring.AGGREGATE_CHOICES`.

    Raises:
        ValueError: a detector's weights are missing or not its own.
    """
    # Made before the first video is asked for: a missing weight file is told before any work.
    predictor = Predictor(models, device=device, precision=precision, weights_dir=weights_dir, aggregate=aggregate)
    return predictor.predict_all(videos, workers)


class Predictor:
    """An ensemble with its detectors, made ready once for any number of videos; one call at a time.

    Arguments and errors as of `predict_videos`.

    Attributes:
        run: what its results depend on (`describe_run`).
    """

    def __init__(
        self,
        models: Sequence[ScoringModel],
        *,
        device: str = "cpu",
        precision: str = "float32",
        weights_dir: Path = Path("weights"),
        aggregate: str = OF_FAMILY,
    ) -> None:
        self.models = models
        self.run = describe_run(models, device, precision, aggregate)
        self._device = device
        self._aggregate = aggregate
        self._scorers = {model.name: _scorer(model, precision) for model in models}
        self._collector = FaceCollector([model.view for model in models], device, weights_dir)

    def predict_all(
        self, videos: Sequence[Path], workers: int = 1, unwanted: Unwanted | None = None
    ) -> Generator[tuple[Path, VideoResult], None, None]:
        """Yields each video once, in the order of completion, with its result.

        Raises:
            GivenUp: the work is unwanted (`deepfake.processes.stream`); asked between networks too.
        """
        once = list(dict.fromkeys(videos))
        for path, outcome in _stream_faces(once, self._collector, self._device, workers, unwanted):
            if isinstance(outcome, VideoFaces):
                yield path, score_video(outcome, self.models, self._scorers, self._aggregate, unwanted)
            else:
                yield path, failed_result(outcome)

    def predict(self, video: Path, unwanted: Unwanted | None = None) -> VideoResult:
        """One video's result; see `predict_all`."""
        with contextlib.closing(self.predict_all([video], unwanted=unwanted)) as results:
            ((_, result),) = results
        return result


def load_predictor(
    members: Sequence[Member],
    device: str = "auto",
    detector: AnySettings | None = None,
    weights_dir: Path = Path("weights"),
) -> Predictor:
    """Loads an ensemble for good: what serves one file after the other.

    Args:
        device: `auto`, `cpu` or `cuda`.

    Raises:
        ValueError: see `choose_device`, `load_models`, `predict_videos`.
    """
    device = choose_device(device)
    models = load_models(members, device, detector)
    return Predictor(models, device=device, precision=choose_precision("auto", device), weights_dir=weights_dir)


def _scorer(model: ScoringModel, precision: str) -> FaceScorer:
    mixed = precision if model.exported is None else None  # an exported file computes as it was made to
    return FaceScorer(model.network, model.normalization, mixed, model.spec.output, model.spec.input_size)


def score_video(
    faces: VideoFaces,
    models: Sequence[ScoringModel],
    scorers: Mapping[str, FaceScorer],
    aggregate: str = OF_FAMILY,
    unwanted: Unwanted | None = None,
) -> VideoResult:
    """Scores the faces of one video; models for which no face was found have no say.

    Args:
        aggregate: one of `deepfake.scoring.AGGREGATE_CHOICES`.
        unwanted: asked before each network.

    Raises:
        GivenUp: the work is unwanted.
    """
    start = time.monotonic()
    by_face: dict[FaceSource, list[dict[str, float]]] = {
        source: [{} for _ in found] for source, found in faces.found.items()
    }
    try:
        for model in models:
            check_wanted(unwanted)
            scores = scorers[model.name](faces.images[model.view])
            for entry, value in zip(by_face[model.source], scores.tolist()):
                entry[model.name] = value
    except ScoringError as error:
        return _result(faces, start, status=FAILED, reason=f"{model.name}: {error}", faces=_scored_faces(faces, {}))
    found = _scored_faces(faces, by_face)
    persons = _persons(found, models, aggregate)
    model_scores = _model_scores(found, models, aggregate)
    if not model_scores:
        return _result(faces, start, status=NO_FACE, reason="no face was found", faces=found, persons=persons)
    if aggregate == MAX_PERSON:
        score = max_person_score([(p.score, p.faces) for p in persons if p.score is not None])
    else:
        score = _weighted(model_scores, models)
    return _result(faces, start, status=OK, score=score, model_scores=model_scores, faces=found, persons=persons)


def _result(video: VideoFaces, start: float, **found: Any) -> VideoResult:
    seconds = video.seconds + time.monotonic() - start
    return VideoResult(frames=video.frames, size=video.size, seconds=seconds, **found)


def _model_scores(faces: Sequence[ScoredFace], models: Sequence[ScoringModel], aggregate: str) -> dict[str, float]:
    """What each model that has scored a face says of all of them together."""
    scores = {}
    for model in models:
        own = [face.scores[model.name] for face in faces if model.name in face.scores]
        if own:
            rule = aggregate if aggregate in AGGREGATIONS else model.aggregation
            scores[model.name] = float(AGGREGATIONS[rule](own))
    return scores


def _weighted(model_scores: Mapping[str, float], models: Sequence[ScoringModel]) -> float:
    weights = [model.weight for model in models if model.name in model_scores]
    return ensemble_score(list(model_scores.values()), weights)


def _persons(faces: Sequence[ScoredFace], models: Sequence[ScoringModel], aggregate: str) -> list[PersonScore]:
    found = []
    for person in sorted({face.person for face in faces}):
        own = [face for face in faces if face.person == person]
        scores = _model_scores(own, models, aggregate)
        found.append(PersonScore(person, _weighted(scores, models) if scores else None, most_scored(own)))
    return found


def describe_run(
    models: Sequence[ScoringModel], device: str, precision: str, aggregate: str = OF_FAMILY
) -> dict[str, Any]:
    """What the results of a run depend on beside the videos, as plain JSON values."""
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
            "backend": models[0].exported.backend if models[0].exported else TORCH,
            "device": device,
            "precision": precision,
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


def predict_on_video(
    face_extractor: FaceExtractor,
    video_path: str | Path,
    batch_size: int,
    input_size: int,
    models: Sequence[nn.Module],
    strategy: Aggregation = np.mean,
    apply_compression: bool = False,
) -> float:
    """Scores one video.

    Args:
        batch_size: room for faces, as published: the first `batch_size - 1` are scored.
        input_size: side of the networks' input in pixels.
        models: networks in evaluation mode, ImageNet normalisation, one logit.
        strategy: one model's face scores -> its video score.
        apply_compression: compress faces as JPEG before scoring.

    Returns:
        The probability of fake; nan for a video without a face, which has no score.

    Raises:
        VideoError: unreadable, or not one frame in it.
    """
    entries = face_extractor.process_video(video_path)
    images = _fitted_faces(entries, batch_size - 1, input_size, apply_compression)
    return _ensemble(images, [FaceScorer(network) for network in models], strategy)


def predict_on_video_set(
    face_extractor: FaceExtractor,
    videos: Sequence[str],
    input_size: int,
    num_workers: int,
    test_dir: str | Path,
    frames_per_video: int,
    models: Sequence[nn.Module],
    strategy: Aggregation = np.mean,
    apply_compression: bool = False,
) -> list[float]:
    """Scores the named videos of a folder: one probability of fake each, in their order.

    A video without a score (no face, unreadable) is nan and is logged; one broken video stops nothing. Arguments as for
    `predict_on_video`; `num_workers` processes read ahead; `frames_per_video` bounds the faces (four a frame).
    """
    scorers = [FaceScorer(network) for network in models]
    fit = partial(
        _fitted_faces,
        limit=frames_per_video * PUBLISHED_ROOM - 1,
        input_size=input_size,
        apply_compression=apply_compression,
    )
    on_cpu = face_extractor.device.type == "cpu"

    def prepare(path: Path) -> Iterator[Any]:  # in a process of its own, which must not touch CUDA
        frames = face_extractor.video_read_fn(path)
        yield fit(face_extractor.process_frames(*frames)) if on_cpu else frames

    scores: dict[Path, float] = {}
    paths = [Path(test_dir) / video for video in videos]
    for part in stream(list(dict.fromkeys(paths)), prepare, num_workers):
        if part.error is not None:
            log.warning("%s has no score: %s", part.item, part.error)
            scores[part.item] = math.nan
        elif not part.last:
            images = part.value if on_cpu else fit(face_extractor.process_frames(*part.value))
            scores[part.item] = _ensemble(images, scorers, strategy)
            if not len(images):
                log.warning("%s has no score: no face was found", part.item)
    return [scores[path] for path in paths]


def _stream_faces(
    videos: Sequence[Path], collector: FaceCollector, device: str, workers: int, unwanted: Unwanted | None = None
) -> Iterator[tuple[Path, VideoFaces | Exception]]:
    """Each video with its faces, or with the error that kept them away."""
    if device == "cpu":

        def find(path: Path) -> Iterator[VideoFaces]:
            yield collector.collect(iter_chosen(path, collector.choices, threads=1))

        for part in stream(videos, find, workers, unwanted):
            if part.error is not None:
                yield part.item, part.error
            elif not part.last:
                yield part.item, part.value
    else:
        yield from _ahead(partial(_faces_on_cuda, videos, collector, workers, unwanted), PREFETCHED_VIDEOS)


def _faces_on_cuda(
    videos: Sequence[Path], collector: FaceCollector, workers: int, unwanted: Unwanted | None = None
) -> Iterator[tuple[Path, VideoFaces | Exception]]:
    """Processes decode, this one detects: a forked process cannot use CUDA, a thread does not outlive a crash."""

    def read(path: Path) -> Iterator[list[Frame]]:
        return chunked(iter_chosen(path, collector.choices, threads=1), CHUNK_FRAMES)

    collections: dict[Path, FaceCollection] = {}
    for part in stream(videos, read, workers, unwanted):
        if not part.last:
            collections.setdefault(part.item, collector.begin()).add(part.value)
            continue
        collection = collections.pop(part.item, None)
        if part.error is not None:
            yield part.item, part.error
        else:  # a video too short for any frame that is wanted has none, and no face
            yield part.item, (collection or collector.begin()).finish()


def _ahead(make: Callable[[], Iterator[Any]], depth: int) -> Iterator[Any]:
    """What `make()` yields, made in a thread that is at most `depth` ahead."""
    done = object()
    queue: Queue[Any] = Queue(depth)
    stopped = False
    failure: list[BaseException] = []

    def work() -> None:
        source: Iterator[Any] = iter(())
        try:
            source = make()
            for value in source:
                queue.put(value)
                if stopped:
                    break
        except BaseException as error:  # raised again where the values are used
            failure.append(error)
        finally:
            getattr(source, "close", lambda: None)()
            queue.put(done)

    thread = Thread(target=work, daemon=True)
    thread.start()
    value = None
    try:
        while (value := queue.get()) is not done:
            yield value
        if failure:
            raise failure[0]
    finally:
        stopped = True
        while value is not done:
            value = queue.get()
        thread.join()


def failed_result(error: Exception) -> VideoResult:
    """The result of a video whose reading ended with an error."""
    if isinstance(error, VideoError):
        return VideoResult(UNREADABLE, reason=str(error))
    return VideoResult(CRASHED if isinstance(error, WorkerDied) else FAILED, reason=str(error))


def _scored_faces(faces: VideoFaces, by_face: Mapping[FaceSource, Sequence[dict[str, float]]]) -> list[ScoredFace]:
    """All faces with their scores, if they have any, and the persons whom they belong to."""
    found = [(i, source, face) for i, (source, own) in enumerate(faces.found.items()) for face in own]
    persons = link_persons([(face.frame, i, face.face.box) for i, _, face in found])
    scores = [entry for source in faces.found for entry in by_face.get(source, [{}] * len(faces.found[source]))]
    return [
        ScoredFace(f.frame, f.face.box, f.face.score, f.crop_size, i, entry, person, f.face.landmarks)
        for (i, _, f), entry, person in zip(found, scores, persons)
    ]


def _fitted_faces(
    entries: Sequence[dict[str, Any]], limit: int, input_size: int, apply_compression: bool
) -> np.ndarray:
    """(n, input_size, input_size, 3) uint8 pictures of the first faces."""
    images = [fit_square(face, input_size) for entry in entries for face in entry["faces"]][: max(limit, 0)]
    if apply_compression:
        images = [_compressed(image) for image in images]
    return np.stack(images) if images else np.empty((0, input_size, input_size, 3), np.uint8)


def _compressed(image: np.ndarray) -> np.ndarray:
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, COMPRESSION_QUALITY])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)


def _ensemble(images: np.ndarray, scorers: Sequence[FaceScorer], strategy: Aggregation) -> float:
    if not len(images):
        return math.nan
    return ensemble_score([float(strategy(scorer(images))) for scorer in scorers])

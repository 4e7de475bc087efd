"""Scoring a data set's videos for an evaluation: by networks, or by anybody's function. Stopped runs continue."""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from deepfake.datasets.records import Dataset
from deepfake.evaluation.protocols import Protocol
from deepfake.evaluation.recorded import RecordedRun, ScoredVideo
from deepfake.media.picture_folder import picture_files
from deepfake.scoring.aggregation import FRAMES_PER_VIDEO
from deepfake.scoring.tables import write_details
from deepfake.storage.journal import Journal, begun_run
from deepfake.storage.json_files import read_mapping
from deepfake.storage.names import file_name
from deepfake.synthesis.perturbations.perturbation import Perturbation

if TYPE_CHECKING:
    from deepfake.prediction.predictor import Predictor

Detector = Callable[[Path], "float | None"]
RUN_KEYS = ("models", "crop_recipes", "settings")
"""What `deepfake.prediction.scoring_model.describe_run` describes a run by; a details file has them, too."""


def load_detector(name: str) -> Detector:
    """Import `package.module:function`, which turns a path into a probability of fake, or None without a face.

    Raises:
        ValueError: no such module or function.
    """
    module, _, function = name.partition(":")
    if not module or not function:
        raise ValueError(f"{name!r}: expected package.module:function")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{name}: {error}") from error
    if not callable(found):
        raise ValueError(f"{name}: not a function")
    return found


def readable_videos(dataset: Dataset, root: Path) -> dict[str, Path]:
    """Return videos, pictures and folders of pictures by their paths below the root. Raises ValueError: none."""
    paths = [video.path for video in dataset.videos.values() if video.path.exists()]
    if not paths:
        raise ValueError(f"{root}: no video that can be read")
    return {path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path): path for path in paths}


def are_finished_crops(dataset: Dataset) -> bool:
    """Return whether a data set's pictures are finished face crops.

    Raises:
        ValueError: some are and some are not: scores of both would differ by how faces were cut out, too.
    """
    crops = sum(video.is_cut_out for video in dataset.videos.values())
    if 0 < crops < len(dataset.videos):
        raise ValueError(
            f"{crops} of {len(dataset.videos)} videos are finished face crops, the others whole frames; networks score "
            "one kind at a time: choose with --methods, --split or --pictures"
        )
    return crops > 0


class DetectorRun:
    """Scores videos by a function, one at a time; an error is that video's alone and is tried again the next time.

    Of a folder of pictures the function is given each that the protocol chooses; their mean is the video's score.

    Attributes:
        videos: what is known so far, by name.
    """

    def __init__(
        self, name: str, detector: Detector, videos: Mapping[str, Path], output: Path, protocol: Protocol
    ) -> None:
        self.videos: dict[str, ScoredVideo] = {}
        self._name, self._detector, self._paths = name, detector, videos
        self._protocol = replace(protocol, frames=protocol.frames or FRAMES_PER_VIDEO)
        self._journal = Journal(output, {"detector": name, "pictures": self._protocol.described_frames})

    def score(self) -> Iterator[str]:
        """Yield each video's name once it is scored. Raises OutOfSpace, or ValueError: a damaged journal."""
        done = self._journal.read()
        with self._journal:
            for name, path in self._paths.items():
                key = _key(path)
                try:
                    scores = done[key] if key in done else [self._score(file) for file in self._files(path)]
                except Exception as error:  # whatever the function raises
                    self.videos[name] = ScoredVideo(None, f"{type(error).__name__}: {error}")
                else:
                    if key not in done:
                        self._journal.add(key, scores)
                    self.videos[name] = _mean(scores, path.is_dir())
                yield name

    def _files(self, path: Path) -> list[Path]:
        if not path.is_dir():
            return [path]
        files = picture_files(path)
        return [files[place] for place in self._protocol.choose(range(len(files)))]

    def _score(self, path: Path) -> float | None:
        score = self._detector(path)
        if score is None:
            return None
        if not (math.isfinite(value := float(score)) and 0 <= value <= 1):
            raise ValueError(f"{self._name} returned {score!r}; expected 0 to 1, or None")
        return value

    def finish(self) -> RecordedRun:
        """Return all scores, and remove the journal."""
        self._journal.remove()
        facts = {"detector": self._name}
        if any(path.is_dir() for path in self._paths.values()):
            facts["recorded frames"] = f"{self._protocol.described_frames} of a folder of pictures"
        return RecordedRun(self.videos, facts)


def _mean(scores: Sequence[float | None], of_pictures: bool) -> ScoredVideo:
    known = np.array([score for score in scores if score is not None])
    if not len(known):
        return ScoredVideo(None, "no face")
    return ScoredVideo(float(known.mean()), "", known if of_pictures else np.empty(0))


class NetworkRuns:
    """Networks that score the same videos, as they are and perturbed.

    Args:
        videos: by name, see `readable_videos`.
        details: the file that scores of unperturbed videos are written to; others stand in a folder beside it.
        overwrite: scores anew what is finished or was begun.
    """

    def __init__(self, predictor: Predictor, videos: Mapping[str, Path], details: Path, overwrite: bool) -> None:
        self._predictor, self._videos, self._details, self._overwrite = predictor, videos, details, overwrite

    def predict(self, perturbation: Perturbation | None = None) -> Path:
        """Score all videos, continuing a stopped run and taking over a finished one; return the details' file."""
        from deepfake.prediction.precision_check import with_checks  # torch takes seconds
        from deepfake.prediction.run import PredictionRun
        from deepfake.prediction.scoring_model import trained_groups

        predictor, details = self._predictor, self._details
        if perturbation is not None:
            predictor = predictor.perturbed(perturbation)
            details = details.parent / "perturbed" / file_name(f"{perturbation.name}_{perturbation.level}.json")
            details.parent.mkdir(exist_ok=True)
        if not self._overwrite and is_finished(details, predictor.run, self._videos):
            return details
        run = PredictionRun(predictor, list(self._videos.values()), details)
        done = 0 if self._overwrite else run.resume()
        with contextlib.closing(run.predict()) as stream:
            for _ in tqdm(stream, total=len(self._videos), initial=done, unit="video", smoothing=0):
                pass
        results = {name: run.results[path] for name, path in self._videos.items()}
        known = {"training": training_facts(predictor), **trained_groups(predictor.models)}
        write_details(details, results, {**with_checks(predictor.run, results), **known})
        run.finish()
        return details


def earlier_run(details: Path) -> dict[str, Any] | None:
    """Return what identifies the run that a details file is from, stopped or finished; None if nobody can tell.

    With it, `build_predictor` need not try anew in which precision to compute.
    """
    from deepfake.prediction.precision_check import without_checks  # torch takes seconds

    if (begun := begun_run(details)) is not None or not details.is_file():
        return begun
    try:
        content = read_mapping(details, "details")
        return without_checks({key: content[key] for key in RUN_KEYS})
    except (ValueError, KeyError, TypeError):  # not the details of a prediction
        return None


def is_finished(details: Path, run: Mapping[str, Any], videos: Collection[str]) -> bool:
    """Return whether a details file holds these videos, scored by a run of this description."""
    if not details.is_file():
        return False
    content = read_mapping(details, "details")
    try:
        names = {video["filename"] for video in content["videos"]}
        found = {key: content[key] for key in RUN_KEYS}
    except (KeyError, TypeError):  # not the details of a prediction
        return False
    wanted = json.loads(json.dumps({key: run[key] for key in found}))
    for described in (found, wanted):  # what was found of precision counts the videos of each run
        described["settings"] = {k: v for k, v in described["settings"].items() if k != "precision_check"}
    return names == set(videos) and found == wanted


def training_facts(predictor: Predictor) -> dict[str, str]:
    """Return what each network's checkpoint knows of its training, in words."""
    return {model.name: _trained(model.spec.training) for model in predictor.models}


def _trained(training: Mapping[str, Any]) -> str:
    config = training.get("config")
    facts = {"config": config.get("file") if isinstance(config, Mapping) else config}
    facts |= {key: training[key] for key in ("fold", "seed", "epoch", "data", "source") if key in training}
    return ", ".join(f"{key} {value}" for key, value in facts.items() if value is not None) or "unknown"


def _key(path: Path) -> str:
    facts = path.stat()
    return f"{path.absolute()} {facts.st_size} {facts.st_mtime_ns}"

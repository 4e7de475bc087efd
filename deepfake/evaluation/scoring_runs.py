"""Scoring a data set's videos for an evaluation: by networks, or by anybody's function. Stopped runs continue."""

from __future__ import annotations

import importlib
import json
import math
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepfake.evaluation.recorded import RecordedRun, ScoredVideo
from deepfake.storage.journal import Journal
from deepfake.storage.json_files import read_mapping

if TYPE_CHECKING:
    from deepfake.prediction.predictor import Predictor

Detector = Callable[[Path], "float | None"]


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


class DetectorRun:
    """Scores videos by a function, one at a time; an error is that video's alone and is tried again the next time.

    Attributes:
        videos: what is known so far, by name.
    """

    def __init__(self, name: str, detector: Detector, videos: Mapping[str, Path], output: Path) -> None:
        self.videos: dict[str, ScoredVideo] = {}
        self._name, self._detector, self._paths = name, detector, videos
        self._journal = Journal(output, {"detector": name})

    def score(self) -> Iterator[str]:
        """Yield each video's name once it is scored. Raises OutOfSpace, or ValueError: a damaged journal."""
        done = self._journal.read()
        with self._journal:
            for name, path in self._paths.items():
                key = _key(path)
                if key in done:
                    self.videos[name] = ScoredVideo(done[key], "" if done[key] is not None else "no face")
                else:
                    self.videos[name] = self._scored(path, key)
                yield name

    def _scored(self, path: Path, key: str) -> ScoredVideo:
        try:
            score = self._detector(path)
            value = None if score is None else float(score)
        except Exception as error:
            return ScoredVideo(None, f"{type(error).__name__}: {error}")
        if value is not None and not (math.isfinite(value) and 0 <= value <= 1):
            return ScoredVideo(None, f"{self._name} returned {score!r}; expected 0 to 1, or None")
        self._journal.add(key, value)
        return ScoredVideo(value, "" if value is not None else "no face")

    def finish(self) -> RecordedRun:
        """Return all scores, and remove the journal."""
        self._journal.remove()
        return RecordedRun(self.videos, {"detector": self._name})


def is_finished(details: Path, run: Mapping[str, Any], videos: Collection[str]) -> bool:
    """Return whether a details file holds these videos, scored by a run of this description."""
    if not details.is_file():
        return False
    content = read_mapping(details, "details")
    try:
        names = {video["filename"] for video in content["videos"]}
        found = {key: content[key] for key in ("models", "crop_recipes", "settings")}
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

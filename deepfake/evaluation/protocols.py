"""Conventions that published numbers follow: which frames, how scores become a video's, what a video without one is.

They are applied to recorded face scores, so that one run can be read by several conventions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from deepfake.media.frames import FirstFrames, FrameChoice, SpreadFrames, spread_indices
from deepfake.scoring.aggregation import FRAMES_PER_VIDEO, confident_score, ensemble_score
from deepfake.storage.registry import Registry

DROP, NEUTRAL, ERROR = "drop", "neutral", "error"
NO_FACE_RULES = {
    DROP: "leave out a video without a score",
    NEUTRAL: "count it as 0.5",
    ERROR: "end with an error",
}
"""What to do with a video that has no score."""

RECORDED, CONFIDENT, MEAN, LARGEST, HIGHEST = "recorded", "confident", "mean", "largest", "highest-large"
AGGREGATIONS = {
    RECORDED: "the video's score as it is",
    CONFIDENT: "first place's rule for all faces",
    MEAN: "mean over frames of their faces' mean",
    LARGEST: "of the largest face",
    HIGHEST: "of the highest of those at least half as large",
}
"""How the scores of faces become a video's."""


@dataclass(frozen=True)
class Face:
    """A scored face.

    Attributes:
        size: side in pixels, the square root of its box's area.
        scores: probability of fake by network.
    """

    frame: int
    size: float
    scores: Mapping[str, float]


@dataclass(frozen=True)
class Protocol:
    """A convention.

    Attributes:
        frames: at most that many of the recorded frames; None for all.
        first: takes the first ones, not ones spread evenly.
        aggregation: a name of AGGREGATIONS.
        no_face: a name of NO_FACE_RULES.
        meaning: who reports so.
    """

    frames: int | None = None
    first: bool = False
    aggregation: str = RECORDED
    no_face: str = DROP
    meaning: str = ""

    def choose(self, frames: Sequence[int]) -> list[int]:
        """Return which of the recorded frames count."""
        known = sorted(set(frames))
        if self.frames is None or len(known) <= self.frames:
            return known
        return known[: self.frames] if self.first else [known[i] for i in spread_indices(len(known), self.frames)]

    def frames_to_read(self, of_stored_frames: bool) -> FrameChoice:
        """Return the frames to score: the first ones are taken of frames that somebody has stored in a folder. Of a
        video they are spread, as whoever stores some of its frames spreads them."""
        count = self.frames or FRAMES_PER_VIDEO
        return FirstFrames(count) if self.first and of_stored_frames else SpreadFrames(count)

    @property
    def described_frames(self) -> str:
        if self.frames is None:
            return "as recorded"
        return f"the first {self.frames} recorded" if self.first else f"at most {self.frames} spread"


PROTOCOLS: Registry[Protocol] = Registry("protocol", "deepfake.evaluation.conventions")
"""The conventions by name: one module of `conventions` each."""


def frame_scores(faces: Sequence[Face], weights: Mapping[str, float], aggregation: str) -> np.ndarray:
    """Return the probability of fake of each frame with a scored face, (k,), in the order of frames.

    Args:
        weights: of the networks.
        aggregation: a name of AGGREGATIONS; RECORDED and CONFIDENT, which have no rule for frames, count as MEAN.
    """
    by_frame: dict[int, list[Face]] = {}
    for face in faces:
        if face.scores:
            by_frame.setdefault(face.frame, []).append(face)
    rule = _FRAME_RULES.get(aggregation, _mean)
    return np.array([_weighted(found, weights, rule) for _, found in sorted(by_frame.items())])


def video_score(faces: Sequence[Face], frames: np.ndarray, weights: Mapping[str, float], aggregation: str) -> float:
    """Return a video's score by an aggregation other than RECORDED; `frames` are its frames' scores, at least one."""
    if aggregation == CONFIDENT:
        return _weighted(
            [face for face in faces if face.scores], weights, lambda found: confident_score(_scores(found))
        )
    return float(frames.mean())


def _weighted(faces: Sequence[Face], weights: Mapping[str, float], rule: Callable[..., float]) -> float:
    by_network: dict[str, list[tuple[float, float]]] = {}
    for face in faces:
        for name, score in face.scores.items():
            by_network.setdefault(name, []).append((face.size, score))
    return ensemble_score([rule(found) for found in by_network.values()], [weights[name] for name in by_network])


def _scores(found: Sequence[tuple[float, float]]) -> list[float]:
    return [score for _, score in found]


def _mean(found: Sequence[tuple[float, float]]) -> float:
    return sum(_scores(found)) / len(found)


def _largest(found: Sequence[tuple[float, float]]) -> float:
    return max(found, key=lambda face: face[0])[1]


def _highest_large(found: Sequence[tuple[float, float]]) -> float:
    least = max(size for size, _ in found) / 2
    return max(score for size, score in found if size >= least)


_FRAME_RULES: dict[str, Callable[..., float]] = {LARGEST: _largest, HIGHEST: _highest_large}

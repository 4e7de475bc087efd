"""What a prediction finds of each video: the records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from deepfake.storage.schema import Probability, from_plain, require, to_plain

OK = "ok"
NO_FACE = "no_face"
UNREADABLE = "unreadable"
CRASHED = "crashed"
FAILED = "failed"

STATUSES = {
    OK: "scored",
    NO_FACE: "read, but no face found",
    UNREADABLE: "not a video that can be decoded",
    CRASHED: "the process that read it died",
    FAILED: "another error; see the reason",
}
"""Every status that a video can have."""


@dataclass(frozen=True)
class ScoredFace:
    """A face in a video.

    Attributes:
        frame: index in the video.
        box: x1, y1, x2, y2 in full-frame pixels; may reach over the frame's edge.
        confidence: the detector's, 0..1.
        crop_size: (height, width) of the crop that was scored.
        recipe: which of the run's crop recipes found it.
        scores: probability of fake by model; empty for faces beyond those that are scored.
        person: whose face it is, counted from 0 (`deepfake.faces.tracking`); None for what is probably no face.
        landmarks: its five landmarks in full-frame pixels, if the detector gives them (`deepfake.faces.boxes.Face`).
    """

    frame: int
    box: tuple[float, float, float, float]
    confidence: float | None
    crop_size: tuple[int, int]
    recipe: int
    scores: dict[str, float]
    person: int | None
    landmarks: tuple[tuple[float, float], ...] | None = None


@dataclass(frozen=True)
class PersonScore:
    """One person's share of a video.

    Attributes:
        person: as in `ScoredFace.person`.
        score: probability of fake from this person's faces alone; None if none was scored.
        faces: how many were scored; of several recipes, by the one with the most.
    """

    person: int
    score: float | None
    faces: int


@dataclass(frozen=True)
class ScoreCheck:
    """How a video's score in reduced precision compares with float32's.

    Attributes:
        difference: of the score, or of a network's, whichever is larger; None if a score was not a number.
        kept: whether the score is that of reduced precision; otherwise it is float32's.
    """

    difference: float | None
    kept: bool


@dataclass(frozen=True)
class VideoResult:
    """What was found of one video.

    Attributes:
        status: one of STATUSES.
        score: probability of fake, None without one.
        reason: why there is no score.
        model_scores: the video's score by model.
        frames: indices of the frames that were looked at.
        size: the frames' (height, width).
        faces: all faces found.
        seconds: time spent on decoding, detecting and scoring.
        persons: the persons whom the faces belong to.
        precision_check: of a video that was scored in reduced precision and in float32.
        times: when each of the frames is shown, in seconds from the file's start.
        doubts: what is missing in the file or in doubt, in plain words.
    """

    status: str
    score: Probability | None = None
    reason: str = ""
    model_scores: dict[str, float] = field(default_factory=dict)
    frames: list[int] = field(default_factory=list)
    size: tuple[int, int] | None = None
    faces: list[ScoredFace] = field(default_factory=list)
    seconds: float = 0.0
    persons: list[PersonScore] = field(default_factory=list)
    precision_check: ScoreCheck | None = None
    times: list[float] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    @property
    def scored_faces(self) -> int:
        """Faces that a model scored; of several crop recipes, by the one with the most."""
        return most_scored(self.faces)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, exact."""
        return to_plain(self)

    @staticmethod
    def from_dict(content: Any) -> VideoResult:
        """Invert `to_dict`, after JSON; what is no result raises ValueError."""
        result = from_plain(VideoResult, content)
        require(result.status in STATUSES, "status", f"one of {', '.join(STATUSES)}; found {result.status!r}")
        return result


def most_scored(faces: Iterable[ScoredFace]) -> int:
    """Return how many of these faces a model scored; of several crop recipes, by the one with the most."""
    return max(Counter(face.recipe for face in faces if face.scores).values(), default=0)

"""An exported file against the network it was made from, on the same real faces."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deepfake.backends.facts import ExportError
from deepfake.backends.network import ExportedNetwork
from deepfake.models.precision import FLOAT32, REDUCED_TOLERANCE, TOLERANCE
from deepfake.prediction.face_scorer import FaceScorer
from export.format_registry import Format
from export.graph import ExportJob


def default_tolerance(precision: str) -> float:
    return TOLERANCE.get(precision, REDUCED_TOLERANCE)


@dataclass(frozen=True)
class Agreement:
    """How well an exported file agrees with torch: the largest difference of a probability on `faces` pictures, and
    the lowest and highest probability there (one that is 0 or 1 everywhere tells little)."""

    difference: float
    lowest: float
    highest: float
    faces: int

    def __str__(self) -> str:
        span = f"{self.lowest:.3f} to {self.highest:.3f}"
        return f"largest difference of probability from torch {self.difference:.2g} on {self.faces} faces ({span})"


def export_checked(
    job: ExportJob, path: Path, made: Format, tolerance: float, device: str, told_as: Path | None = None
) -> Agreement:
    """Writes `path` if it computes what the network does; else nothing is left of it.

    Args:
        tolerance: largest difference of a probability.
        device: where the file is run, `cpu` or `cuda`.
        told_as: what a refusal names, where `path` is to be moved; default: `path`.

    Raises:
        ExportError: the difference is larger, or see the format's `written`.
    """
    with made.written(path, job) as file:
        run, facts = made.file.open_file(file, device)
        agreement = compare(job, make_scorer(ExportedNetwork(run, facts, made.file.device or device)))
        if not agreement.difference <= tolerance:
            raise ExportError(f"{told_as or path}: not written: {agreement}; allowed are {tolerance:g} (--tolerance)")
    return agreement


def compare(job: ExportJob, exported: FaceScorer) -> Agreement:
    """On the job's crops."""
    spec = job.facts.spec
    expected = FaceScorer(job.network, spec.normalization, FLOAT32, spec.output, spec.input_size)(job.crops)
    difference = np.abs(expected - exported(job.crops)).max()
    return Agreement(float(difference), float(expected.min()), float(expected.max()), len(expected))


def make_scorer(network: ExportedNetwork) -> FaceScorer:
    """Scores pictures of faces with an exported file: (n, s, s, 3) uint8 RGB -> (n,) float32 probabilities of fake."""
    facts = network.facts
    return FaceScorer(network, facts.normalization, FLOAT32, facts.spec.output, facts.spec.input_size)

"""What perturbations cost a detector: AUC by type and level, and the loss against the same videos unperturbed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deepfake.evaluation.comparing import compare
from deepfake.evaluation.evaluating import Evaluation, MeasureOptions
from deepfake.storage.schema import Count, read_json_as, write_json_as

ROBUSTNESS_FORMAT = 1
Interval = tuple[float, float, float]
"""Value, low, high."""


@dataclass(frozen=True)
class PerturbedFigures:
    """Figures under one perturbation at one level.

    Attributes:
        auc: of all videos that count under it.
        loss: clean AUC minus the perturbed one, on the videos that both have; its interval is paired.
        videos: how many both have.
    """

    perturbation: str
    level: str
    auc: Interval
    loss: Interval
    videos: Count


@dataclass(frozen=True)
class Robustness:
    """Attributes:
    protocol: as in `Evaluation`.
    clean: the AUC without a perturbation.
    rows: by perturbation and level, as they were asked for.
    """

    name: str
    protocol: dict[str, str]
    clean: Interval
    rows: list[PerturbedFigures]


def measure_robustness(
    clean: Evaluation, perturbed: Mapping[tuple[str, str], Evaluation], options: MeasureOptions
) -> Robustness:
    """Compare evaluations under perturbations with the clean one.

    Args:
        perturbed: (perturbation, level) -> its evaluation.

    Raises:
        ValueError: real or fake videos are missing in one; or see `compare`.
    """
    rows = []
    for (name, level), evaluation in perturbed.items():
        compared = compare([clean, evaluation], options)
        against = compared.runs[1]
        if "auc" not in against.differences:
            raise ValueError(f"{name}:{level}: real and fake videos with a score are needed for an AUC")
        change = against.differences["auc"]
        loss = (_lost(change.value), _lost(change.high), _lost(change.low))
        rows.append(PerturbedFigures(name, level, evaluation.cells[0].metrics["auc"], loss, compared.videos))
    return Robustness(clean.name, clean.protocol, clean.cells[0].metrics["auc"], rows)


def _lost(change: float) -> float:
    """A change the other way round, without the last digits, which would make -0.0000 of no change."""
    return 0.0 - round(change, 12)


def write_robustness(path: Path, found: Robustness) -> None:
    """Write the figures as JSON, atomically."""
    write_json_as(path, found, ROBUSTNESS_FORMAT, indent=1)


def read_robustness(path: Path) -> Robustness:
    """Read what `write_robustness` wrote. Raises ValueError: missing, or of another format."""
    return read_json_as(path, Robustness, "robustness figures", file_format=ROBUSTNESS_FORMAT)


def curves(found: Robustness) -> dict[str, Sequence[PerturbedFigures]]:
    """Return the rows of each perturbation, in the order of its levels."""
    names = dict.fromkeys(row.perturbation for row in found.rows)
    return {name: [row for row in found.rows if row.perturbation == name] for name in names}

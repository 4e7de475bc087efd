"""What perturbations cost a detector: AUC by type and level, and the loss against the same videos unperturbed."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deepfake.evaluation.comparing import compare
from deepfake.evaluation.evaluating import Evaluation, MeasureOptions
from deepfake.storage import atomic
from deepfake.storage.json_files import read_mapping
from deepfake.storage.schema import Count, from_plain, to_plain

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
        videos, (_, against) = compare([clean, evaluation], options)
        if "auc" not in against.differences:
            raise ValueError(f"{name}:{level}: real and fake videos with a score are needed for an AUC")
        change = against.differences["auc"]
        loss = (0.0 - change.value, 0.0 - change.high, 0.0 - change.low)
        rows.append(PerturbedFigures(name, level, evaluation.cells[0].metrics["auc"], loss, videos))
    return Robustness(clean.name, clean.protocol, clean.cells[0].metrics["auc"], rows)


def robustness_lines(found: Robustness) -> list[str]:
    """Return the table for a terminal."""
    lines = [f"{'':16}{'AUC':>25}{'loss against clean':>28}", f"{'clean':16}{_bracketed(found.clean):>25}"]
    for row in found.rows:
        name = f"{row.perturbation}:{row.level}"
        lines.append(f"{name:16}{_bracketed(row.auc):>25}{_bracketed(row.loss):>28}")
    return lines


def robustness_csv(found: Robustness) -> str:
    """Return a row for each perturbation and level."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    ends = ("", "_low", "_high")
    writer.writerow(["perturbation", "level", *(f"{m}{end}" for m in ("auc", "loss") for end in ends), "videos"])
    for row in found.rows:
        writer.writerow([row.perturbation, row.level, *(f"{v:.6f}" for v in (*row.auc, *row.loss)), row.videos])
    return text.getvalue()


def write_robustness(path: Path, found: Robustness) -> None:
    """Write the figures as JSON, atomically."""
    content = {"format": ROBUSTNESS_FORMAT, **to_plain(found)}
    atomic.write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_robustness(path: Path) -> Robustness:
    """Read what `write_robustness` wrote. Raises ValueError: missing, or of another format."""
    content = read_mapping(path, "robustness figures")
    return from_plain(Robustness, content, str(path), file_format=ROBUSTNESS_FORMAT)


def curves(found: Robustness) -> dict[str, Sequence[PerturbedFigures]]:
    """Return the rows of each perturbation, in the order of its levels."""
    names = dict.fromkeys(row.perturbation for row in found.rows)
    return {name: [row for row in found.rows if row.perturbation == name] for name in names}


def _bracketed(of: Interval) -> str:
    return f"{of[0]:.4f} [{of[1]:.3f}, {of[2]:.3f}]"

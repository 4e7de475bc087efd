"""The plots of an evaluation and of a comparison: ROC, scores, reliability, differences, AUC by perturbation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from deepfake.evaluation.comparing import Comparison
from deepfake.evaluation.robustness import Robustness, curves
from deepfake.scoring.detection_metrics import LabeledScores
from deepfake.scoring.reliability import BINS, reliability_bins
from deepfake.storage.names import one_line
from deepfake.synthesis.perturbations.kinds import PERTURBATIONS
from visualize import colors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINE_COLOR, DIM = "#1d3557", "0.5"
_SIZE, _WIDE = (4.2, 3.8), (8.4, 4.2)
"""Inches."""
_LONGEST_NAME = 30


def _axes(size: tuple[float, float] = _SIZE) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    return figure, axes


def draw_roc(runs: Sequence[tuple[str, LabeledScores]]) -> Figure:
    """Draw the ROC curves of runs by name, all with both labels; of several with a legend."""
    from sklearn.metrics import roc_curve

    figure, axes = _axes()
    axes.plot([0, 1], [0, 1], "--", color=DIM, lw=1)
    for name, of in runs:  # a label that begins with an underscore would be left out of the legend
        fpr, tpr, _ = roc_curve(of.labels, of.scores)
        axes.plot(fpr, tpr, color=LINE_COLOR if len(runs) == 1 else None, lw=1.8, label=f" {_short(name)}")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
    if len(runs) > 1:
        axes.legend(frameon=False, loc="lower right")
    return figure


def draw_scores(of: LabeledScores) -> Figure:
    """Draw how many reals and fakes have which scores."""
    figure, axes = _axes()
    parts = [of.scores[of.labels == label] for label in (0, 1)]
    axes.hist(
        parts, bins=np.linspace(0, 1, 2 * BINS + 1).tolist(), stacked=True, color=[colors.REAL, colors.FAKE],
        label=["real", "fake"], rwidth=0.92,
    )  # fmt: skip
    axes.set(xlabel="probability of fake", ylabel="videos", xlim=(0, 1))
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderpad=0)
    return figure


def draw_reliability(of: LabeledScores) -> Figure:
    """Draw the share of fakes in each bin of scores."""
    figure, axes = _axes()
    bins = reliability_bins(of.labels, of.scores)
    axes.plot([0, 1], [0, 1], "--", color=DIM, lw=1)
    axes.plot(bins.predicted, bins.observed, "o-", color=LINE_COLOR, lw=1.6, markersize=5)
    axes.set(xlabel="mean probability of a bin", ylabel="share of fakes", xlim=(0, 1), ylim=(-0.03, 1.03))
    return figure


def draw_robustness(found: Robustness) -> Figure:
    """Draw the AUC of each perturbation against its levels."""
    figure, axes = _axes(_WIDE)
    axes.axhline(found.clean[0], color=DIM, lw=1, ls="--", label="clean")
    most = 1
    for name, rows in curves(found).items():
        levels = [*PERTURBATIONS[name].levels]
        places = [levels.index(row.level) + 1 for row in rows]
        most = max(most, *places)
        (line,) = axes.plot(places, [row.auc[0] for row in rows], "o-", lw=1.6, markersize=4, label=name)
        axes.fill_between(
            places, [row.auc[1] for row in rows], [row.auc[2] for row in rows], color=line.get_color(), alpha=0.08
        )
    axes.set(xlabel="level", ylabel="AUC, shaded: 95 % interval", xticks=range(1, most + 1))
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def draw_differences(found: Comparison, metric: str) -> Figure:
    """Draw each run's difference to the first one in a metric, with its interval, against the line of no difference."""
    figure, axes = _axes()
    axes.axvline(0, color=DIM, lw=1, ls="--")
    others = [run for run in found.runs[1:] if metric in run.differences]
    for place, run in enumerate(others):
        of = run.differences[metric]
        axes.plot([of.low, of.high], [place, place], color=LINE_COLOR, lw=2)
        axes.plot([of.value], [place], "o", color=LINE_COLOR)
    axes.set(xlabel=f"to {_short(found.runs[0].name)}, 95 % interval", ylim=(len(others) - 0.5, -0.5))
    axes.set_yticks(range(len(others)), [_short(run.name) for run in others])
    return figure


def _short(name: str) -> str:
    """A run's name as a plot shows it: one short line, no formula."""
    name = one_line(name)
    name = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}..."
    return name.replace("$", r"\$")

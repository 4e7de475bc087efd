"""The page of an evaluation: figures, curves, the most wrong videos, the protocol; one file of HTML."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deepfake.evaluation.evaluating import FRAME_AUC, OVERALL, EvaluatedVideo, Evaluation
from deepfake.evaluation.reporting import FEW, NAMES, ORDER, bracketed, most_wrong, number, shown_metrics
from deepfake.evaluation.robustness import Robustness, curves
from deepfake.scoring.detection_metrics import LabeledScores
from deepfake.scoring.reliability import BINS, reliability_bins
from deepfake.storage.names import escape, file_name
from deepfake.synthesis.perturbations.kinds import PERTURBATIONS
from visualize import colors
from visualize.page import plot, render

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TEMPLATE = "evaluation.html"
MOST_WRONG = 20
WITH_INTERVAL = ("auc", FRAME_AUC, "eer")
"""Metrics whose intervals stand in the tables; of all others they show when the mouse rests on the value."""
LINE_COLOR, DIM = "#1d3557", "0.5"
_ROOM = len(".partial-.json (99999)")
_MOST_BYTES = 255 - _ROOM


def render_evaluation(
    evaluation: Evaluation, out: Path, reports: Path | None = None, robustness: Robustness | None = None
) -> str:
    """Return the page. Names are escaped.

    Args:
        out: the folder that the page is for: links are relative to it.
        reports: the folder of the videos' reports, to link to those that are there.
        robustness: what perturbations cost, if it was measured.
    """
    overall = evaluation.cells[0]
    of = evaluation.labeled_scores()
    tables = {
        by: [cell for cell in evaluation.cells if cell.by == by]
        for by in dict.fromkeys(cell.by for cell in evaluation.cells if cell.by != OVERALL)
    }
    return render(
        TEMPLATE,
        title=f"Evaluation {evaluation.name}",
        evaluation=evaluation,
        overall=overall,
        headline=[(NAMES[m], number(overall, m), overall.metrics[m][1:]) for m in ORDER if m in overall.metrics],
        metrics=shown_metrics(evaluation),
        names=NAMES,
        tables=tables,
        cell=bracketed,
        with_interval=WITH_INTERVAL,
        few=FEW,
        plots=_plots(of),
        robustness=robustness,
        curves=None if robustness is None else _plot(lambda axes: _draw_robustness(axes, robustness), (8.4, 4.2)),
        wrong=[(video, report_link(video, out, reports)) for video in most_wrong(evaluation, MOST_WRONG)],
        shown=escape,
    )


def report_link(video: EvaluatedVideo, out: Path, reports: Path | None) -> str | None:
    """Return where a video's report is, seen from the page; None if it is not there."""
    if reports is None:
        return None
    page = reports / f"{file_name(video.name, _MOST_BYTES)}.html"
    return Path(os.path.relpath(page, out)).as_posix() if page.is_file() else None


def _plots(of: LabeledScores) -> dict[str, str]:
    plots = {"scores": _plot(lambda axes: _draw_scores(axes, of)), "reliability": _plot(lambda a: _draw_bins(a, of))}
    if of.has_both:
        plots = {"ROC": _plot(lambda axes: _draw_roc(axes, of)), **plots}
    return plots


def _plot(draw: Callable[[Axes], None], size: tuple[float, float] = (4.2, 3.8)) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    draw(axes)
    return plot(figure)


def _draw_roc(axes: Axes, of: LabeledScores) -> None:
    from sklearn.metrics import roc_curve

    fpr, tpr, _ = roc_curve(of.labels, of.scores)
    axes.plot([0, 1], [0, 1], "--", color=DIM, lw=1)
    axes.plot(fpr, tpr, color=LINE_COLOR, lw=1.8)
    axes.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))


def _draw_scores(axes: Axes, of: LabeledScores) -> None:
    parts = [of.scores[of.labels == label] for label in (0, 1)]
    axes.hist(
        parts, bins=np.linspace(0, 1, 2 * BINS + 1).tolist(), stacked=True, color=[colors.REAL, colors.FAKE],
        label=["real", "fake"], rwidth=0.92,
    )  # fmt: skip
    axes.set(xlabel="probability of fake", ylabel="videos", xlim=(0, 1))
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderpad=0)


def _draw_bins(axes: Axes, of: LabeledScores) -> None:
    bins = reliability_bins(of.labels, of.scores)
    axes.plot([0, 1], [0, 1], "--", color=DIM, lw=1)
    axes.plot(bins.predicted, bins.observed, "o-", color=LINE_COLOR, lw=1.6, markersize=5)
    axes.set(xlabel="mean probability of a bin", ylabel="share of fakes", xlim=(0, 1), ylim=(-0.03, 1.03))


def _draw_robustness(axes: Axes, found: Robustness) -> None:
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

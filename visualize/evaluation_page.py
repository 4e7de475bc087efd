"""The page of an evaluation: figures, curves, the most wrong videos, the protocol; one file of HTML."""

from __future__ import annotations

import os
from pathlib import Path

from deepfake.evaluation.evaluating import FRAME_AUC, OVERALL, EvaluatedVideo, Evaluation
from deepfake.evaluation.reporting import FEW, NAMES, ORDER, bracketed, loss, most_wrong, number, shown_metrics
from deepfake.evaluation.robustness import Robustness
from deepfake.storage.names import escape, file_name
from visualize.evaluation_plots import draw_reliability, draw_robustness, draw_roc, draw_scores
from visualize.page import plot, render

TEMPLATE = "evaluation.html"
MOST_WRONG = 20
WITH_INTERVAL = ("auc", FRAME_AUC, "eer")
"""Metrics whose intervals stand in the tables; of all others they show when the mouse rests on the value."""
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
    drawn = {"ROC": draw_roc([(evaluation.name, of)])} if of.has_both else {}
    plots = {n: plot(f) for n, f in {**drawn, "scores": draw_scores(of), "reliability": draw_reliability(of)}.items()}
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
        plots=plots,
        robustness=robustness,
        curves=None if robustness is None else plot(draw_robustness(robustness)),
        loss=loss,
        wrong=[(video, report_link(video, out, reports)) for video in most_wrong(evaluation, MOST_WRONG)],
        shown=escape,
    )


def report_link(video: EvaluatedVideo, out: Path, reports: Path | None) -> str | None:
    """Return where a video's report is, seen from the page; None if it is not there."""
    if reports is None:
        return None
    page = reports / f"{file_name(video.name, _MOST_BYTES)}.html"
    return Path(os.path.relpath(page, out)).as_posix() if page.is_file() else None

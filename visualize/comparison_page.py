"""The page of a comparison: metrics of runs side by side, their differences, ROC curves, protocols."""

from __future__ import annotations

from collections.abc import Sequence

from deepfake.evaluation.comparing import ComparedRun, Comparison
from deepfake.evaluation.reporting import NAMES, difference
from deepfake.scoring.detection_metrics import HIGHER_IS_BETTER, LabeledScores
from deepfake.storage.names import escape
from visualize.evaluation_plots import draw_differences, draw_roc
from visualize.page import plot, render

TEMPLATE = "comparison.html"
BETTER, WORSE = "better", "worse"
ALWAYS_DIFFERS = ("command",)
"""Of a protocol: says nothing about whether runs can be compared."""


def render_comparison(found: Comparison, samples: Sequence[LabeledScores]) -> str:
    """Return the page. Names are escaped.

    Args:
        samples: each run's scores of the videos that all have (`deepfake.evaluation.comparing.shared_scores`).
    """
    plots = {}
    if samples[0].has_both:
        named = [(run.name, of) for run, of in zip(found.runs, samples)]
        plots = {"ROC": draw_roc(named), "Difference in AUC": draw_differences(found, "auc")}
    keys = dict.fromkeys(key for run in found.runs for key in run.protocol)
    return render(
        TEMPLATE,
        title=f"{found.runs[0].name} and {len(found.runs) - 1} more",
        found=found,
        names=NAMES,
        difference=difference,
        verdict=verdict,
        plots={name: plot(figure) for name, figure in plots.items()},
        protocol={key: [run.protocol.get(key, "-") for run in found.runs] for key in keys},
        always_differs=ALWAYS_DIFFERS,
        shown=escape,
    )


def verdict(run: ComparedRun, metric: str) -> str:
    """Return BETTER or WORSE where the interval of a difference leaves zero out, else an empty text."""
    of = run.differences.get(metric)
    if of is None or of.low <= 0 <= of.high:
        return ""
    return BETTER if (of.value > 0) == (metric in HIGHER_IS_BETTER) else WORSE

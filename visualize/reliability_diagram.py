"""The reliability diagram of a calibration: shares of fakes against probabilities, before and after."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deepfake.scoring import calibration_fit as fit
from deepfake.scoring.calibration import uncalibrate
from deepfake.scoring.calibration_fit import Assessment, Sample, Thresholds
from deepfake.scoring.reliability import BINS, CONFIDENCE, Share, reliability_bins
from deepfake.storage.atomic import atomic_file
from visualize import colors

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINT_COLOR, DIM = "#1d3557", "0.45"


def draw_reliability(sample: Sample, assessed: Assessment, thresholds: Thresholds, out: Path) -> None:
    """Write the picture: reliability before and after, and under it how many videos lie where.

    Args:
        out: a .png file, which appears whole.
    """
    # Takes a second to import; a Figure of its own needs no display.
    from matplotlib.figure import Figure

    temperature, intercept = assessed.temperature.value, assessed.intercept.value
    fitted = f"temperature {temperature:.2f}" + (f", intercept {intercept:.2f}" if intercept else "")
    errors = {name: assessed.figures[name]["ece"].value for name in (fit.BEFORE, fit.FITTED, fit.UNSEEN)}
    titles = {
        fit.BEFORE: f"before\ncalibration error {errors[fit.BEFORE]:.3f}",
        fit.FITTED: f"after, {fitted}\ncalibration error {errors[fit.FITTED]:.3f}"
        f" ({errors[fit.UNSEEN]:.3f} on unseen videos)",
    }
    figure = Figure(figsize=(11, 7.2), layout="constrained")
    rows = figure.subplots(2, 2, sharex=True, sharey="row", height_ratios=(3, 1))
    for (name, title), upper, lower in zip(titles.items(), *rows):
        # The thresholds are of the calibrated probability; on the left they stand where the scores reach them.
        limits = [thresholds.real_below, thresholds.fake_above]
        real_below, fake_above = uncalibrate(limits, temperature, intercept) if name == fit.BEFORE else limits
        _draw_bins(upper, sample.labels, assessed.probabilities[name], real_below, fake_above)
        upper.set_title(title, fontsize=12)
        _draw_counts(lower, sample.labels, assessed.probabilities[name])
        lower.set_xlabel("score" if name == fit.BEFORE else "calibrated probability of fake")
    rows[0, 0].set_ylabel("share of fakes")
    rows[1, 0].set_ylabel("videos")
    handles = [rows[row, 0].get_legend_handles_labels() for row in (0, 1)]
    figure.legend(
        [*handles[0][0], *handles[1][0]],
        [*handles[0][1], *handles[1][1]],
        loc="outside lower center",
        frameon=False,
        ncols=4,
    )
    with atomic_file(out) as partial:
        figure.savefig(partial, dpi=130)


def _draw_bins(axes: Axes, labels: np.ndarray, probabilities: np.ndarray, real_below: float, fake_above: float) -> None:
    bins = reliability_bins(labels, probabilities)
    shares = [Share(round(n * share), round(n)).estimate for n, share in zip(bins.weight, bins.observed)]
    spread = np.abs([[s.value - s.low for s in shares], [s.high - s.value for s in shares]])
    axes.axvspan(0, real_below, color=colors.REAL, alpha=0.12, lw=0)
    axes.axvspan(fake_above, 1, color=colors.FAKE, alpha=0.12, lw=0)
    for limit, color in ((real_below, colors.REAL), (fake_above, colors.FAKE)):
        axes.axvline(limit, color=color, lw=1.2)
    zones = (("real", 0, real_below), ("uncertain", real_below, fake_above), ("fake", fake_above, 1))
    for name, left, right in zones:
        if right - left > 0.02 * len(name):  # room for it
            axes.text((left + right) / 2, 1.045, name, ha="center", va="center", color=DIM, fontsize=10)
    axes.plot([0, 1], [0, 1], "--", color=DIM, lw=1, label="as it should be")
    axes.errorbar(
        bins.predicted, bins.observed, spread, fmt="o-", color=POINT_COLOR, ecolor=POINT_COLOR, elinewidth=1,
        capsize=3, markersize=6, lw=1.6, label=f"videos, with {CONFIDENCE:.0%} intervals",
    )  # fmt: skip
    axes.set(xlim=(0, 1), ylim=(-0.03, 1.09), aspect="auto")
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)


def _draw_counts(axes: Axes, labels: np.ndarray, probabilities: np.ndarray) -> None:
    axes.hist(
        [probabilities[labels == 0], probabilities[labels == 1]], bins=np.linspace(0, 1, 2 * BINS + 1).tolist(),
        stacked=True, color=[colors.REAL, colors.FAKE], label=["real videos", "fake videos"], rwidth=0.92,
    )  # fmt: skip
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2, axis="y")
    axes.set_axisbelow(True)

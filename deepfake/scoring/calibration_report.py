"""What a fitted calibration is worth, as lines of text: videos, figures, method, thresholds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from deepfake.datasets.labels import MatchedLabels
from deepfake.scoring import calibration_fit as fit
from deepfake.scoring.calibration import PLATT, TEMPERATURE
from deepfake.scoring.calibration_fit import Assessment, Choice, Sample, Thresholds
from deepfake.scoring.reliability import BINS, CONFIDENCE, METRICS, Estimate, Share
from deepfake.storage.names import escape

METRIC_NAMES = {"log_loss": "log loss", "brier": "Brier", "auc": "AUC", "ece": "ECE"}
ROW_NAMES = {
    fit.BEFORE: "before",
    fit.FITTED: "after, same videos",
    fit.UNSEEN: "after, unseen videos",
    fit.ISOTONIC: "isotonic, unseen videos",
    fit.CHANGE: "after - before, unseen",
    fit.ISOTONIC_CHANGE: "isotonic - after, unseen",
}


def describe_videos(scores: Mapping[str, float | None], matched: MatchedLabels, sample: Sample) -> list[str]:
    """Say how many videos have a score and a label, and what is left out."""
    fakes, total = int(sample.labels.sum()), len(sample.labels)
    lines = [
        f"labels found for {len(matched.videos)} of {len(scores)} predicted videos, by {matched.matched_by}",
        f"{total} videos with score and label: {total - fakes} real, {fakes} fake ({fakes / max(total, 1):.0%} fakes)",
    ]
    without_score = [name for name, score in scores.items() if score is None]
    left_out = {
        "without a score": without_score,
        "without a label": matched.unlabeled,
        "with a label but not among the predictions": matched.unpredicted,
    }
    parts = [f"{len(names)} {what} (e.g. '{escape(names[0])}')" for what, names in left_out.items() if names]
    return [*lines, f"left out: {', '.join(parts)}"] if parts else lines


def figures_table(figures_of: Mapping[str, Mapping[str, Estimate]]) -> list[str]:
    """Return the figures with their intervals, a row each."""
    rows = [f"{'':24}" + "".join(f"  {METRIC_NAMES[metric]:>25}" for metric in METRICS)]
    for name, figures in figures_of.items():
        cells = [_bracketed(figures[metric]) if metric in figures else "" for metric in METRICS]
        rows.append(f"{ROW_NAMES[name]:24}" + "".join(f"  {cell:>25}" for cell in cells))
    return [line.rstrip() for line in rows]


def explain(sample: Sample, assessed: Assessment, resamples: int) -> list[str]:
    """Say in words what the table of figures shows."""
    units = "originals, each with its fakes" if sample.grouped else "videos, each by itself"
    found, added, figures = assessed.temperature, assessed.intercept, assessed.figures
    lines = [
        f"[{CONFIDENCE:.0%} intervals from {resamples} resamples of {units}]",
        f"same videos: in-sample, optimistic. unseen videos: {fit.FOLDS}-fold cross-validation; its AUC mixes "
        f"{fit.FOLDS} fits, a calibration itself leaves the AUC as it is",
        f"ECE: calibration error in {BINS} bins; that of resamples is larger, so its intervals lie high",
        "",
    ]
    if figures[fit.BEFORE]["auc"].low <= 0.5:
        lines.append("the AUC may be 0.5: on these videos it is not sure that the scores tell fakes from reals at all")
    if assessed.choice is None:
        lines.append("temperature 1: all fakes score over 0.5, all reals under it; log loss names no temperature")
        return lines
    size = "too sure" if found.low > 1 else "not sure enough" if found.high < 1 else "neither too sure nor too unsure"
    lines.append(describe_choice(assessed.choice))
    lines.append(f"temperature {found.value:.3f} [{found.low:.3f}, {found.high:.3f}]: the scores were {size}")
    if added.value:
        side = "too low" if added.low > 0 else "too high" if added.high < 0 else "neither too low nor too high"
        lines.append(f"intercept {added.value:.3f} [{added.low:.3f}, {added.high:.3f}]: the scores were {side}")
    if figures[fit.CHANGE]["log_loss"].low > 0:
        lines.append("on unseen videos it does harm: better none than this one")
    elif figures[fit.CHANGE]["log_loss"].high >= 0:
        lines.append("the gain on unseen videos may be chance; more labeled videos would tell")
    # By the Brier score: isotonic regression says 0 and 1, and one such mistake outweighs its whole log loss.
    if figures[fit.ISOTONIC_CHANGE]["brier"].high < 0:
        lines.append("isotonic regression does better: temperature and intercept do not mend these scores")
    return lines


def describe_choice(choice: Choice) -> str:
    """Say why there is an intercept, or none."""
    alone, both = choice.losses[TEMPERATURE], choice.losses[PLATT]
    why = "an intercept helps" if choice.method == PLATT else "no intercept: its gain is within a standard error"
    return (
        f"log loss on unseen videos: {alone:.4f} by temperature alone, {both:.4f} with an intercept (gain "
        f"{alone - both:.4f}, standard error {choice.error:.4f}): {why}"
    )


def describe_thresholds(thresholds: Thresholds, false_alarm_rate: float, miss_rate: float) -> list[str]:
    """Say how many videos the thresholds decide rightly and wrongly."""
    of, reals, fakes = thresholds, thresholds.false_alarms.of, thresholds.misses.of
    decided = of.false_alarms.count + of.misses.count + of.caught.count + of.cleared.count
    lines = [
        _threshold("fake over", of.fake_above, of.false_alarms, "reals called fake", of.caught, "fakes caught"),
        _threshold("real under", of.real_below, of.misses, "fakes called real", of.cleared, "reals cleared"),
        f"uncertain: {reals + fakes - decided} of {reals + fakes} videos",
    ]
    if of.fake_above < 0.5 or of.real_below > 0.5:
        lines.append("a threshold beyond 0.5: these probabilities are off center")
    for share, allowed, what in ((of.false_alarms, false_alarm_rate, "reals"), (of.misses, miss_rate, "fakes")):
        if allowed * share.of < 1:
            lines.append(f"{share.of} {what} are too few to find a rate of {allowed:.1%}: no error was allowed")
    return lines


def _threshold(name: str, value: float, errors: Share, wrong: str, hits: Share, right: str) -> str:
    found = errors.estimate
    return (
        f"{name:10} {value:.4f}: {errors.count} of {errors.of} {wrong}, {found.value:.1%} [{found.low:.1%}, "
        f"{found.high:.1%}], {errors.expected:.1%} expected of new ones; {hits.count} of {hits.of} {right}, "
        f"{hits.value:.1%}"
    )


def _bracketed(figure: Estimate) -> str:
    if np.isnan(figure.value):  # the AUC of one label alone
        return "-"
    return f"{figure.value:.4f} [{figure.low:.3f}, {figure.high:.3f}]"

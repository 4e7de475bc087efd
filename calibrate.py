"""Turns scores into probabilities: scored videos + their labels -> a calibration for predict_folder.py."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import argparse
import hashlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deepfake.cli.commandline import EXIT_USAGE, positive_int, run_guarded
from deepfake.datasets.labels import MatchedLabels, match_labels, read_labels
from deepfake.scoring import calibration_fit as fit
from deepfake.scoring.calibration import (
    PLATT,
    TEMPERATURE,
    Calibration,
    CalibrationError,
    check_name,
    model_fingerprints,
    uncalibrate,
    write_calibration,
)
from deepfake.scoring.calibration_fit import Assessment, Choice, Sample, Thresholds
from deepfake.scoring.reliability import BINS, CONFIDENCE, METRICS, Estimate, Share, reliability_bins
from deepfake.scoring.tables import Details, read_details
from deepfake.storage.atomic import atomic_file
from deepfake.storage.names import escape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EPILOG = f"""The score's logit is divided by one number, the temperature, and an intercept is added if cross-validation
finds that it lowers the log loss of unseen videos by more than a standard error. Videos with a probability over one
threshold count as fake, under another as real, between them as uncertain.

Fit on videos that are like those you will judge and that no network was trained on, some hundreds of each label; the
probabilities hold where the share of fakes is the same. An original and its fakes stay together in cross-validation
and resamples where the labels name originals (a .csv with a column "original" does).

exit codes:
  0    the calibration and the picture are written
  {EXIT_USAGE}    the predictions, labels or names cannot be used, or no calibration fits; figures of the scores are
       printed where there are labelled videos

example:
  python predict_folder.py --test-dir labelled --ensemble first_place --details details.json
  python calibrate.py --predictions details.json --labels labelled/metadata.json --out weights/first.calibration.json
"""

METRIC_NAMES = {"log_loss": "log loss", "brier": "Brier", "auc": "AUC", "ece": "ECE"}
ROW_NAMES = {
    fit.BEFORE: "before",
    fit.FITTED: "after, same videos",
    fit.UNSEEN: "after, unseen videos",
    fit.ISOTONIC: "isotonic, unseen videos",
    fit.CHANGE: "after - before, unseen",
    fit.ISOTONIC_CHANGE: "isotonic - after, unseen",
}
REAL_COLOUR, FAKE_COLOUR, POINT_COLOUR, DIM = "#2a9d8f", "#d1495b", "#1d3557", "0.45"


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--predictions",
        nargs="+",
        type=Path,
        required=True,
        metavar="DETAILS",
        help="what predict_folder.py --details wrote: .json, which names the checkpoints, or .csv",
    )
    add(
        "--labels",
        type=Path,
        required=True,
        metavar="FILE",
        help="metadata.json, a table with filename,label (0, 1, REAL or FAKE; comma, semicolon or tab), or a folder in "
        "DFDC layout",
    )
    add("--out", type=Path, required=True, metavar="JSON", help="the calibration: X.calibration.json")
    add("--plot", type=Path, metavar="PNG", help="the reliability diagram (default: beside the calibration)")
    told = "at most this share of the %s (default: %s)"
    add("--false-alarm-rate", type=rate, default=fit.FALSE_ALARM_RATE, metavar="R",
        help=told % ("reals is called fake", fit.FALSE_ALARM_RATE))  # fmt: skip
    add("--miss-rate", type=rate, metavar="R", help=told % ("fakes is called real", "the false-alarm rate"))
    add("--bootstrap", type=positive_int, default=fit.RESAMPLES, metavar="N", help="resamples (default: %(default)s)")
    add("--seed", type=int, default=fit.SEED, metavar="N", help="of resamples and folds (default: %(default)s)")
    args = parser.parse_args()
    args.miss_rate = args.false_alarm_rate if args.miss_rate is None else args.miss_rate
    args.plot = args.out.with_suffix(".png") if args.plot is None else args.plot
    return args


def rate(text: str) -> float:
    """An argument's type: a number from 0 to under 1. Raises ValueError."""
    value = float(text)
    if not 0 <= value < 1:
        raise ValueError(f"{value}: expected 0 to under 1")
    return value


def main() -> int:
    args = parse_args()
    check_name(args.out)
    if args.plot.suffix.lower() != ".png":
        raise ValueError(f"{args.plot}: the picture's name must end in .png")
    details, labels = join_details(args.predictions), read_labels(args.labels)
    models = None if details.models is None else model_fingerprints(details.models)
    matched = match_labels(details.scores, labels)
    sample = join_labels(details.scores, matched)
    print(*count_videos(details.scores, matched, sample), "", sep="\n", flush=True)
    try:
        assessed = fit.assess(sample, args.bootstrap, args.seed)
    except CalibrationError:
        # What the labels say of the scores is worth knowing even so.
        print(*table(fit.measure_scores(sample, args.bootstrap, args.seed)), "", sep="\n", flush=True)
        raise
    thresholds = fit.choose_thresholds(
        assessed.probabilities[fit.FITTED], sample.labels, args.false_alarm_rate, args.miss_rate
    )
    calibration = Calibration(
        assessed.temperature.value,
        thresholds.real_below,
        thresholds.fake_above,
        args.false_alarm_rate,
        args.miss_rate,
        reals=int((sample.labels == 0).sum()),
        fakes=int((sample.labels == 1).sum()),
        models=models,
        crop_recipes=details.crop_recipes,
        predictions=hash_files(args.predictions),
        labels=hash_files(labels.files),
        figures=plain_figures(assessed),
        intercept=assessed.intercept.value,
        cross_validated={} if assessed.choice is None else assessed.choice.losses,
    )
    print(*table(assessed.figures), *explain(sample, assessed, args.bootstrap), "", sep="\n")
    print(*tell_thresholds(thresholds, args.false_alarm_rate, args.miss_rate), "", sep="\n", flush=True)
    draw(sample, assessed, thresholds, args.plot)
    write_calibration(args.out, calibration)
    if models is None:
        print("a .csv does not name its checkpoints: prediction cannot check that this calibration is for its own")
    print(f"calibration: {args.out}\npicture: {args.plot}")
    return 0


def join_details(paths: Sequence[Path]) -> Details:
    """The scores of several files as one.

    Raises:
        ValueError: a video in two, or scores of different models.
    """
    joined: Details | None = None
    for path in paths:
        details = read_details(path)
        if joined is None:
            joined = details
            continue
        twice = sorted(joined.scores.keys() & details.scores.keys())
        if twice:
            raise ValueError(f"{path}: {twice[0]!r} is in {paths[0]} or another file, too; name each video once")
        if (joined.models, joined.crop_recipes) != (details.models, details.crop_recipes):
            raise ValueError(f"{path}: scores of other models, or found otherwise, than those in {paths[0]}")
        joined = Details({**joined.scores, **details.scores}, joined.models, joined.crop_recipes)
    assert joined is not None
    return joined


def join_labels(scores: Mapping[str, float | None], matched: MatchedLabels) -> Sample:
    """The videos that have both."""
    found = [(score, known) for name, known in matched.videos.items() if (score := scores[name]) is not None]
    return Sample.of(
        [score for score, _ in found], [known.label for _, known in found], [known.identity for _, known in found]
    )


def hash_files(paths: Iterable[Path]) -> dict[str, str]:
    """File, with its folder if two share a name -> SHA-256."""
    paths = list(paths)
    names = [path.name for path in paths]
    return {
        path.name if names.count(path.name) == 1 else f"{path.parent.name}/{path.name}": hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for path in paths
    }


def plain_figures(assessed: Assessment) -> dict[str, dict[str, tuple[float, float, float]]]:
    return {
        name: {metric: (round(e.value, 6), round(e.low, 6), round(e.high, 6)) for metric, e in row.items()}
        for name, row in assessed.figures.items()
    }


def count_videos(scores: Mapping[str, float | None], matched: MatchedLabels, sample: Sample) -> list[str]:
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


def table(figures_of: Mapping[str, Mapping[str, Estimate]]) -> list[str]:
    """The figures with their intervals, a row each."""
    rows = [f"{'':24}" + "".join(f"  {METRIC_NAMES[metric]:>25}" for metric in METRICS)]
    for name, figures in figures_of.items():
        cells = [_bracketed(figures[metric]) if metric in figures else "" for metric in METRICS]
        rows.append(f"{ROW_NAMES[name]:24}" + "".join(f"  {cell:>25}" for cell in cells))
    return [line.rstrip() for line in rows]


def explain(sample: Sample, assessed: Assessment, resamples: int) -> list[str]:
    """What the table says, in words."""
    units = "originals, each with its fakes" if sample.grouped else "videos, each by itself"
    found, added, figures = assessed.temperature, assessed.intercept, assessed.figures
    lines = [
        f"[{CONFIDENCE:.0%} intervals from {resamples} resamples of {units}]",
        f"same videos: the fit's own, too good. unseen videos: {fit.FOLDS}-fold cross-validation; its AUC mixes "
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
        lines.append("the gain on unseen videos may be chance; more labelled videos would tell")
    # By the Brier score: isotonic regression says 0 and 1, and one such mistake outweighs its whole log loss.
    if figures[fit.ISOTONIC_CHANGE]["brier"].high < 0:
        lines.append("isotonic regression does better: temperature and intercept do not mend these scores")
    return lines


def describe_choice(choice: Choice) -> str:
    """Why there is an intercept, or none."""
    alone, both = choice.losses[TEMPERATURE], choice.losses[PLATT]
    why = "an intercept helps" if choice.method == PLATT else "no intercept: its gain is within a standard error"
    return (
        f"log loss on unseen videos: {alone:.4f} by temperature alone, {both:.4f} with an intercept (gain "
        f"{alone - both:.4f}, standard error {choice.error:.4f}): {why}"
    )


def tell_thresholds(thresholds: Thresholds, false_alarm_rate: float, miss_rate: float) -> list[str]:
    """What the thresholds do."""
    of, reals, fakes = thresholds, thresholds.false_alarms.of, thresholds.misses.of
    decided = of.false_alarms.count + of.misses.count + of.caught.count + of.cleared.count
    lines = [
        _threshold("fake over", of.fake_above, of.false_alarms, "reals called fake", of.caught, "fakes caught"),
        _threshold("real under", of.real_below, of.misses, "fakes called real", of.cleared, "reals cleared"),
        f"uncertain: {reals + fakes - decided} of {reals + fakes} videos",
    ]
    if of.fake_above < 0.5 or of.real_below > 0.5:
        lines.append("a threshold beyond 0.5: these probabilities are off centre")
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


def draw(sample: Sample, assessed: Assessment, thresholds: Thresholds, out: Path) -> None:
    """Writes the picture: reliability before and after, and under it how many videos lie where."""
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
        _draw_reliability(upper, sample.labels, assessed.probabilities[name], real_below, fake_above)
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


def _draw_reliability(
    axes: Axes, labels: np.ndarray, probabilities: np.ndarray, real_below: float, fake_above: float
) -> None:
    bins = reliability_bins(labels, probabilities)
    shares = [Share(round(n * share), round(n)).estimate for n, share in zip(bins.weight, bins.observed)]
    spread = np.abs([[s.value - s.low for s in shares], [s.high - s.value for s in shares]])
    axes.axvspan(0, real_below, color=REAL_COLOUR, alpha=0.12, lw=0)
    axes.axvspan(fake_above, 1, color=FAKE_COLOUR, alpha=0.12, lw=0)
    for value, colour in ((real_below, REAL_COLOUR), (fake_above, FAKE_COLOUR)):
        axes.axvline(value, color=colour, lw=1.2)
    zones = (("real", 0, real_below), ("uncertain", real_below, fake_above), ("fake", fake_above, 1))
    for name, left, right in zones:
        if right - left > 0.02 * len(name):  # room for it
            axes.text((left + right) / 2, 1.045, name, ha="center", va="center", color=DIM, fontsize=10)
    axes.plot([0, 1], [0, 1], "--", color=DIM, lw=1, label="as it should be")
    axes.errorbar(
        bins.predicted, bins.observed, spread, fmt="o-", color=POINT_COLOUR, ecolor=POINT_COLOUR, elinewidth=1,
        capsize=3, markersize=6, lw=1.6, label=f"videos, with {CONFIDENCE:.0%} intervals",
    )  # fmt: skip
    axes.set(xlim=(0, 1), ylim=(-0.03, 1.09), aspect="auto")
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)


def _draw_counts(axes: Axes, labels: np.ndarray, probabilities: np.ndarray) -> None:
    axes.hist(
        [probabilities[labels == 0], probabilities[labels == 1]], bins=np.linspace(0, 1, 2 * BINS + 1).tolist(),
        stacked=True, color=[REAL_COLOUR, FAKE_COLOUR], label=["real videos", "fake videos"], rwidth=0.92,
    )  # fmt: skip
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2, axis="y")
    axes.set_axisbelow(True)


if __name__ == "__main__":
    sys.exit(run_guarded(main, sys.stderr.write))

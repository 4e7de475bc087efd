"""Turns scores into probabilities: scored videos + their labels -> a calibration for predict_folder.py."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import argparse
import sys
from pathlib import Path

from deepfake.cli.commandline import EXIT_USAGE, positive_int, run_guarded
from deepfake.datasets.labels import match_labels, read_labels
from deepfake.scoring import calibration_fit as fit
from deepfake.scoring.calibration import (
    Calibration,
    CalibrationError,
    check_name,
    hash_files,
    model_fingerprints,
    write_calibration,
)
from deepfake.scoring.calibration_report import describe_thresholds, describe_videos, explain, figures_table
from deepfake.scoring.tables import join_details
from visualize.reliability_diagram import draw_reliability

EPILOG = f"""The score's logit is divided by one number, the temperature, and an intercept is added if cross-validation
finds that it lowers the log loss of unseen videos by more than a standard error. Videos with a probability over one
threshold count as fake, under another as real, between them as uncertain.

Fit on videos that are like those you will judge and that no network was trained on, some hundreds of each label; the
probabilities hold where the share of fakes is the same. An original and its fakes stay together in cross-validation
and resamples where the labels name originals (a .csv with a column "original" does).

exit codes:
  0    the calibration and the picture are written
  {EXIT_USAGE}    the predictions, labels or names cannot be used, or no calibration fits; figures of the scores are
       printed where there are labeled videos

example:
  python predict_folder.py --test-dir labeled --ensemble first_place --details details.json
  python calibrate.py --predictions details.json --labels labeled/metadata.json --out weights/first.calibration.json
"""


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
    add(
        "--false-alarm-rate",
        type=rate,
        default=fit.FALSE_ALARM_RATE,
        metavar="R",
        help="maximum false-positive rate: real videos classified as fake (default: %(default)s)",
    )
    add(
        "--miss-rate",
        type=rate,
        metavar="R",
        help="maximum false-negative rate: fake videos classified as real (default: the false-alarm rate)",
    )
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
    sample = fit.join_labels(details.scores, matched)
    print(*describe_videos(details.scores, matched, sample), "", sep="\n", flush=True)
    try:
        assessed = fit.assess(sample, args.bootstrap, args.seed)
    except CalibrationError:
        # What the labels say of the scores is worth knowing even so.
        print(*figures_table(fit.measure_scores(sample, args.bootstrap, args.seed)), "", sep="\n", flush=True)
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
        figures=assessed.plain_figures,
        intercept=assessed.intercept.value,
        cross_validated={} if assessed.choice is None else assessed.choice.losses,
    )
    print(*figures_table(assessed.figures), *explain(sample, assessed, args.bootstrap), "", sep="\n")
    print(*describe_thresholds(thresholds, args.false_alarm_rate, args.miss_rate), "", sep="\n", flush=True)
    draw_reliability(sample, assessed, thresholds, args.plot)
    write_calibration(args.out, calibration)
    if models is None:
        print("a .csv does not name its checkpoints: prediction cannot check that this calibration is for its own")
    print(f"calibration: {args.out}\npicture: {args.plot}")
    return 0


if __name__ == "__main__":
    sys.exit(run_guarded(main, sys.stderr.write))

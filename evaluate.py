"""Measures a detector on a data set: AUC, EER, AP and more with intervals, tables, plots, a page."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import argparse
import contextlib
import shlex
import sys
from collections.abc import Container
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from deepfake.cli.commandline import EXIT_USAGE, positive_int, run_guarded
from deepfake.cli.dataset_options import add_dataset, read_chosen
from deepfake.cli.options import add_options, values_of
from deepfake.cli.prediction_options import add_precision, chosen_members
from deepfake.datasets.records import VIDEO, Dataset
from deepfake.evaluation.comparing import compare, shared_scores, write_comparison
from deepfake.evaluation.evaluating import (
    Evaluation,
    MeasureOptions,
    evaluate,
    read_evaluation,
    write_evaluation,
)
from deepfake.evaluation.protocols import AGGREGATIONS, DROP, NO_FACE_RULES, PROTOCOLS, RECORDED, Protocol
from deepfake.evaluation.recorded import RecordedRun, match_run, read_other, read_recorded
from deepfake.evaluation.reporting import (
    cells_csv,
    compared_lines,
    compared_markdown,
    markdown,
    robustness_csv,
    robustness_lines,
    summary_lines,
    text_lines,
    videos_csv,
)
from deepfake.evaluation.robustness import Robustness, measure_robustness, write_robustness
from deepfake.evaluation.scoring_runs import (
    DetectorRun,
    NetworkRuns,
    are_finished_crops,
    earlier_run,
    load_detector,
    readable_videos,
)
from deepfake.evaluation.training_data import describe_trained, overlap_warnings, read_training_names
from deepfake.faces.detectors.base import ALIGNING
from deepfake.parallel.pool import default_workers
from deepfake.published import check_present
from deepfake.scoring.calibration import read_calibration, uncalibrate
from deepfake.scoring.detection_metrics import MIN_GROUPS
from deepfake.scoring.metrics import DECISION
from deepfake.storage import atomic
from deepfake.storage.locks import writing_folder
from deepfake.storage.names import escape
from deepfake.synthesis.perturbations.perturbation import parse_perturbations
from deepfake.version import code_version
from visualize.comparison_page import render_comparison
from visualize.evaluation_page import render_evaluation
from visualize.evaluation_plots import draw_robustness
from visualize.page import svg

EVALUATION_JSON, DETAILS_JSON, COMPARISON_JSON, ROBUSTNESS_JSON = (
    f"{name}.json" for name in ("evaluation", "details", "comparison", "robustness")
)
PAGE, ROBUSTNESS_SVG = "index.html", "robustness.svg"

USAGE = """%(prog)s ROOT (--predictions DETAILS | --scores CSV | --detector MODULE:FUNCTION |
                         --models NAME ... | --ensemble NAME) [--out DIR] [options]
       %(prog)s --compare RUN RUN ... [--out DIR] [options]"""

EPILOG = f"""written into --out: {EVALUATION_JSON}, evaluation.md, cells.csv, videos.csv (most wrong first),
{PAGE}, with networks {DETAILS_JSON}, with --perturb robustness.*; by --compare: comparison.*,
{PAGE}. Intervals are 95 %, from resamples of groups, an original with its fakes; a star marks
cells with fewer than {MIN_GROUPS} groups with reals, or with fakes.

protocols (frames, aggregation and --no-face together):
{chr(10).join(f"  {name:14}{protocol.meaning}" for name, protocol in PROTOCOLS.items())}

exit codes: 0 it is written; {EXIT_USAGE} the data set, scores or options cannot be used

example:
  python evaluate.py celeb_df --predictions details.json --protocol sbi --out celeb_df_sbi
  python evaluate.py videos --scores other.csv --out other
  python evaluate.py videos --detector my_package.detector:score --out mine
  python evaluate.py videos --models MY_B5_last --perturb deeperforensics --out robust
  python evaluate.py --compare celeb_df_sbi other --out compared
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        usage=USAGE, description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("root", nargs="?", type=Path, metavar="ROOT", help="the data set: a folder, or a table path,label,...")
    scores = parser.add_mutually_exclusive_group(required=True)
    scores.add_argument("--predictions", type=Path, metavar="DETAILS", help="what predict_folder.py --details wrote")
    scores.add_argument(
        "--scores",
        type=Path,
        metavar="CSV",
        help="any detector's table: name (path, file name or id), probability of fake; a row a video or a frame",
    )
    scores.add_argument(
        "--detector", metavar="MODULE:FUNCTION", help="any function from a path to a probability, None without a face"
    )
    scores.add_argument("--models", nargs="+", metavar="NAME", help="checkpoints in the weights folder")
    scores.add_argument("--ensemble", metavar="NAME", help="an ensemble of checkpoints, as for predict_folder.py")
    scores.add_argument(
        "--compare", nargs="+", type=Path, metavar="RUN", help="folders written here, the first the baseline"
    )
    add("--out", type=Path, default=Path("evaluation"), metavar="DIR", help="default: %(default)s")
    add("--name", help="the run's name (default: the name of --out)")
    add_dataset(parser.add_argument_group("data set").add_argument)
    add_reading(parser)
    add_scoring(parser)
    args = parser.parse_args()
    if (args.root is None) != (args.compare is not None):
        parser.error("name a data set, or runs with --compare")
    if args.perturb and args.models is None and args.ensemble is None:
        parser.error("--perturb goes with --models or --ensemble")
    args.name = args.name or args.out.resolve().name
    return args


def add_reading(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how scores are read."""
    add = parser.add_argument_group("scores").add_argument
    add("--protocol", choices=list(PROTOCOLS), metavar="NAME", help="a convention that numbers follow, see below")
    for option, rules, default in (("--aggregate", AGGREGATIONS, RECORDED), ("--no-face", NO_FACE_RULES, DROP)):
        meanings = "; ".join(f"{name}: {meaning}" for name, meaning in rules.items())
        add(option, choices=list(rules), metavar="RULE", help=f"{meanings} (default: {default})")
    add("--calibration", type=Path, metavar="FILE", help="of calibrate.py: accuracy at its threshold, too")
    add("--trained-on", type=Path, metavar="CSV", help="folds.csv of the training, where checkpoints do not know")
    add("--held-out-fold", type=int, metavar="N", help="of --trained-on: the fold that was not trained on")
    add("--reports", type=Path, metavar="DIR", help="of predict_folder.py --report, for links on the page")
    add_options(add, MeasureOptions, ("bootstrap", "seed"))


def add_scoring(parser: argparse.ArgumentParser) -> None:
    """Add the options of --models and --ensemble."""
    add = parser.add_argument_group("with --models or --ensemble").add_argument
    add("--weights-dir", type=Path, default=Path("weights"), metavar="DIR", help="default: %(default)s")
    add("--face-detector", choices=list(ALIGNING), help="for networks that see aligned faces")
    add("--device", choices=["auto", "cpu", "cuda"], default="auto", help="default: cuda if there is one")
    add_precision(add, "some videos, tried first,")
    add(
        "--perturb",
        nargs="+",
        metavar="NAME",
        help="score them perturbed, too: by a suite (deeperforensics, dfdc-each, codecs, ...), a perturbation at all "
        "levels (GNC) or at one (GNC:3); see docs/perturbations.md",
    )
    add("--workers", type=positive_int, default=default_workers(), metavar="N", help="processes that read ahead")
    add("--overwrite", action="store_true", help="start over instead of continuing a stopped run")


def chosen_protocol(args: argparse.Namespace) -> Protocol:
    """The named convention, with what other options change of it."""
    protocol = PROTOCOLS[args.protocol] if args.protocol else Protocol()
    changed = {"aggregation": args.aggregate, "no_face": args.no_face}
    return replace(protocol, **{key: value for key, value in changed.items() if value is not None})


def main() -> int:
    args = parse_args()
    with writing_folder_made(args.out):
        return compare_runs(args) if args.compare else evaluate_run(args)


@contextlib.contextmanager
def writing_folder_made(folder: Path):
    """Be the one writer of a folder, which is made if need be. Raises ValueError: it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"--out {folder}: cannot be written ({error.strerror})") from error
    with writing_folder(folder):
        yield


def evaluate_run(args: argparse.Namespace) -> int:
    """Evaluate one run, print it and write its files; then the same videos perturbed, if asked for."""
    protocol = chosen_protocol(args)
    perturbations = [found for word in args.perturb or () for found in parse_perturbations(word)]
    dataset = read_chosen(args.root, args)
    print(f"{len(dataset.videos)} videos, layout {dataset.layout} ({dataset.because or 'chosen'})", file=sys.stderr)
    networks = None if args.models is None and args.ensemble is None else load_networks(args, dataset, protocol)
    evaluation = measure(args, dataset, protocol, score(args, dataset, protocol, networks))
    write_outputs(args, evaluation)
    print(*text_lines(evaluation), "", *summary_lines(evaluation), f"page: {args.out / PAGE}", sep="\n")
    if networks is None or not perturbations:
        return 0
    perturbed, left_out = {}, []
    for perturbation in perturbations:
        print(f"{perturbation}", file=sys.stderr)
        run = read_recorded(networks.predict(perturbation), protocol)
        try:
            perturbed[perturbation.name, perturbation.level] = measure(args, dataset, protocol, run)
        except ValueError as error:  # nothing can be scored under it: the others still count
            left_out.append(f"{perturbation}: left out: {error}")
    if not perturbed:
        raise ValueError(left_out[0])
    evaluation = replace(evaluation, warnings=[*evaluation.warnings, *left_out])
    found = measure_robustness(evaluation, perturbed, MeasureOptions(**values_of(MeasureOptions, args)))
    write_robustness(args.out / ROBUSTNESS_JSON, found)
    atomic.write_text(args.out / "robustness.csv", robustness_csv(found))
    atomic.write_bytes(args.out / ROBUSTNESS_SVG, svg(draw_robustness(found)))
    write_outputs(args, evaluation, found)
    print("", *(f"warning: {line}" for line in left_out), *robustness_lines(found), sep="\n")
    return 0


def measure(args: argparse.Namespace, dataset: Dataset, protocol: Protocol, run: RecordedRun) -> Evaluation:
    """Join scores with the data set, and measure them."""
    matched = match_run(run, dataset, args.root)
    notes = [f"{len(matched.videos)} videos found by {matched.matched_by}"]
    if matched.unknown:
        example = escape(matched.unknown[0])
        notes.append(f"{len(matched.unknown)} predictions are of no video of the data set, e.g. '{example}'")
    calibration = None if args.calibration is None else read_calibration(args.calibration)
    threshold = None
    if calibration is not None:
        threshold = float(uncalibrate(DECISION, calibration.temperature, calibration.intercept))
    return evaluate(
        dataset,
        matched.videos,
        matched.names,
        protocol.no_face,
        MeasureOptions(**values_of(MeasureOptions, args)),
        described_protocol(args, dataset, protocol, run),
        args.name,
        threshold,
        overlap_warnings(dataset, trained_by(args, run)),
        notes,
    )


def trained_by(args: argparse.Namespace, run: RecordedRun) -> dict[str, Container[str]]:
    """What is known to have been trained on: by the checkpoints, and by the table of --trained-on."""
    known: dict[str, Container[str]] = {name: groups for name, groups in run.trained.items() if groups is not None}
    if args.trained_on is not None:
        known[args.trained_on.name] = read_training_names(args.trained_on, args.held_out_fold)
    return known


def write_outputs(args: argparse.Namespace, evaluation: Evaluation, robustness: Robustness | None = None) -> None:
    """Write all files of an evaluation."""
    write_evaluation(args.out / EVALUATION_JSON, evaluation)
    atomic.write_text(args.out / "evaluation.md", markdown(evaluation, robustness, ROBUSTNESS_SVG))
    atomic.write_text(args.out / "cells.csv", cells_csv(evaluation))
    atomic.write_text(args.out / "videos.csv", videos_csv(evaluation))
    atomic.write_text(args.out / PAGE, render_evaluation(evaluation, args.out, args.reports, robustness))


def described_protocol(
    args: argparse.Namespace, dataset: Dataset, protocol: Protocol, run: RecordedRun
) -> dict[str, str]:
    """What a number means nothing without."""
    code = code_version()
    return {
        "protocol": args.protocol or "none",
        "set": f"{args.root.resolve().name} ({dataset.layout})",
        "compression": ", ".join(dataset.compressions) or "not named",
        "splits": ", ".join(dataset.splits) or "none",
        "frames": protocol.described_frames,
        "aggregation": protocol.aggregation,
        "no face": protocol.no_face,
        **run.facts,
        "trained groups": describe_trained(run, args.trained_on, args.held_out_fold),
        "resamples": f"{args.bootstrap}, seed {args.seed}",
        "command": shlex.join(["python", Path(sys.argv[0]).name, *sys.argv[1:]]),
        "code": f"{(code.commit or 'no commit')[:12]}, source {code.source}",
    }


def score(args: argparse.Namespace, dataset: Dataset, protocol: Protocol, networks: NetworkRuns | None) -> RecordedRun:
    """Read the scores, or make them."""
    if args.scores is not None:
        if protocol.aggregation != RECORDED and args.aggregate is not None:
            raise ValueError(f"--aggregate {args.aggregate}: a table of scores holds no faces")
        return read_other(args.scores)
    if networks is not None:
        return read_recorded(networks.predict(), protocol)
    if args.predictions is not None:
        return read_recorded(args.predictions, protocol)
    videos = readable_videos(dataset, args.root)
    run = DetectorRun(args.detector, load_detector(args.detector), videos, args.out / EVALUATION_JSON, protocol)
    for _ in tqdm(run.score(), total=len(videos), unit="video", smoothing=0):
        pass
    return run.finish()


def load_networks(args: argparse.Namespace, dataset: Dataset, protocol: Protocol) -> NetworkRuns:
    """Load the networks that the options name, for a data set's videos.

    Raises:
        ValueError: one is missing or cannot be used, or the videos cannot.
    """
    videos = readable_videos(dataset, args.root)
    are_crops = are_finished_crops(dataset)
    if are_crops and args.face_detector is not None:
        raise ValueError(f"--face-detector {args.face_detector}: nothing is detected in finished face crops")
    args.weights = None  # of networks that are named: equal
    of_pictures = all(video.content != VIDEO for video in dataset.videos.values())
    members = chosen_members(args, protocol.frames_to_read(of_pictures))
    check_present([member.checkpoint for member in members])
    from deepfake.models.precision import choose_device  # torch takes seconds
    from deepfake.prediction.loading import build_predictor, load_models
    from deepfake.prediction.scoring_model import on_finished_crops

    device, details = choose_device(args.device), args.out / DETAILS_JSON
    models = load_models(members, device, ALIGNING.get(args.face_detector))
    predictor = build_predictor(
        [on_finished_crops(model) for model in models] if are_crops else models,
        device=device,
        precision=args.precision,
        weights_dir=args.weights_dir,
        workers=args.workers,
        videos=list(videos.values()),
        begun=None if args.overwrite else earlier_run(details),
    )
    return NetworkRuns(predictor, videos, details, args.overwrite)


def compare_runs(args: argparse.Namespace) -> int:
    """Compare runs, print and write it."""
    runs = [read_evaluation(path / EVALUATION_JSON if path.is_dir() else path) for path in args.compare]
    found = compare(runs, MeasureOptions(**values_of(MeasureOptions, args)))
    write_comparison(args.out / COMPARISON_JSON, found)
    atomic.write_text(args.out / "comparison.md", compared_markdown(found))
    atomic.write_text(args.out / PAGE, render_comparison(found, shared_scores(runs)))
    print(*compared_lines(found), f"page: {args.out / PAGE}", sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(run_guarded(main, sys.stderr.write))

"""Scores videos with trained checkpoints: checkpoints + videos -> CSV. Kaggle's submission, and details on demand."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from deepfake.backends.registry import FILE_FORMATS
from deepfake.cli.commandline import EXIT_INTERRUPTED, EXIT_SOME_FAILED, EXIT_USAGE, positive_int, run_guarded
from deepfake.cli.prediction_options import add_members, add_networks, add_precision, chosen_members
from deepfake.cli.reading_options import add_limits, chosen_limits
from deepfake.faces.detectors.base import ALIGNING
from deepfake.media.files import find_videos, name_videos
from deepfake.media.video import ReadLimits, SpreadFrames
from deepfake.parallel.allocator import keep_freed_memory
from deepfake.parallel.pool import default_workers
from deepfake.published import check_present
from deepfake.scoring import tables
from deepfake.scoring.aggregation import AGGREGATE_CHOICES, FRAMES_PER_VIDEO, OF_FAMILY
from deepfake.scoring.calibration import DecisionRule, choose_rule, read_calibration
from deepfake.scoring.results import STATUSES, VideoResult
from deepfake.storage.journal import begun_run
from deepfake.storage.locks import writing_file, writing_folder
from deepfake.storage.names import one_line

if TYPE_CHECKING:
    from deepfake.prediction.predictor import Predictor
    from deepfake.prediction.scoring_model import ScoringModel

COMPILED_FROM = 50
"""Fewer videos are scored in less time than compiling takes."""

EPILOG = f"""Architecture, input size, normalization and crop recipe come from the checkpoints.
A stopped run (Ctrl-C, kill, power) continues when the same command is run again.

statuses in the details:
{chr(10).join(f"  {name:11}{meaning}" for name, meaning in STATUSES.items())}

exit codes:
  0    every video has a score
  {EXIT_USAGE}    the command, a checkpoint or the disk cannot be used
  {EXIT_SOME_FAILED}    complete, but some videos have no score, or no page in the report; the last line counts them
  {EXIT_INTERRUPTED}  interrupted; the same command continues

example:
  python predict_folder.py --test-dir videos --models b7_111_DeepFakeClassifier_tf_efficientnet_b7_ns_0_last \\
      --output submission.csv --details details.json
  python predict_folder.py --test-dir videos --ensemble second_place --output submission.csv
  python predict_folder.py clip.mp4 --ensemble both --aggregate max-person --report report
  python predict_folder.py clip.mp4 --models MY_B5_last --backend onnx
  python predict_folder.py clip.mp4 --models MY_B5_last --backend triton --url gpu-server:8001
  python predict_folder.py clip.mp4 --models xception-hg-2.pth MY_B5_last --weights 0.3 0.7 --detector mtcnn
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "videos",
        nargs="*",
        type=Path,
        metavar="VIDEO",
        help="videos, pictures, folders to search with all below",
    )
    add("--test-dir", type=Path, metavar="DIR", help="folder of videos and pictures, searched with all below it")
    add_members(parser)
    add_networks(add)
    add("--output", type=Path, default=Path("submission.csv"), metavar="CSV", help="default: %(default)s")
    add("--details", type=Path, metavar="FILE", help="status, faces, scores by model; .json: and every face")
    add(
        "--report", type=Path, metavar="DIR", help="a page (HTML, needs no network) and JSON for each video, index.html"
    )
    add(
        "--calibration",
        type=Path,
        metavar="FILE",
        help="made by calibrate.py: turns scores into probabilities, and sets the thresholds of the verdicts",
    )
    add(
        "--aggregate",
        choices=list(AGGREGATE_CHOICES),
        default=OF_FAMILY,
        help="; ".join(f"{name}: {message}" for name, message in AGGREGATE_CHOICES.items()) + " (default: %(default)s)",
    )
    add_precision(add, "some videos, tried first,")
    add(
        "--compile",
        action="store_true",
        help="compiles torch's networks, a minute or more for each: measure first whether it gains anything (README, "
        f"How fast); left out, with a message, for less than {COMPILED_FROM} videos",
    )
    add(
        "--backend",
        choices=["auto", "torch", *FILE_FORMATS.names(), "triton"],
        default="auto",
        help="torch and openvino run checkpoints; auto: openvino where it is installed, on a CPU, for 16 videos or "
        "more, else torch. Of files that python -m export made, which decide the precision, openvino runs those in the "
        "weights folder, as the others do (triton: those of a server) (default: %(default)s)",
    )
    add("--url", metavar="HOST:PORT", help="gRPC port of the Triton server (default: localhost:8001)")
    add(
        "--frames",
        type=positive_int,
        metavar="N",
        help=f"a video's frames, spread evenly (default: {FRAMES_PER_VIDEO}); an ensemble says itself which",
    )
    add("--workers", type=positive_int, default=default_workers(), metavar="N", help="processes that read ahead")
    add_limits(add)
    add("--overwrite", action="store_true", help="start over instead of continuing a stopped run")
    args = parser.parse_args()
    check_together(parser, args)
    return args


def check_together(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """End with a usage error if options contradict each other."""
    if args.compile and args.backend not in ("auto", "torch"):
        parser.error("--compile is for --backend torch; the others compile by themselves")
    if not args.videos and args.test_dir is None:
        parser.error("no videos: name some, or a folder with --test-dir")
    if args.ensemble is not None and (args.weights is not None or args.frames is not None):
        parser.error("--weights and --frames go with --models; an ensemble's file says both")
    if args.url is not None and args.backend != "triton":
        parser.error("--url goes with --backend triton")


def main() -> int:
    args = parse_args()
    keep_freed_memory()
    tables.check_outputs(args.output, args.details)
    found = find_videos([*([args.test_dir] if args.test_dir else []), *args.videos], skip=args.report)
    videos = name_videos(found)
    with writing_outputs(args):
        results, without_page = predict(args, videos)
    if left_out := found.left_out.summary():
        print(left_out, file=sys.stderr)
    print(*tables.list_doubts(results), *tables.list_missing(results), sep="", end="", file=sys.stderr)
    print(tables.summarize(results, args.output, without_page))
    return EXIT_SOME_FAILED if without_page or any(result.score is None for result in results.values()) else 0


@contextlib.contextmanager
def writing_outputs(args: argparse.Namespace) -> Iterator[None]:
    """Be the one writer of the tables and the report. That they can be written is known before the work.

    Raises:
        ValueError: another run writes one of them, or the place cannot be written.
    """
    with contextlib.ExitStack() as locks:
        for option, path in (("--output", args.output), ("--details", args.details), ("--report", args.report)):
            if path is None:
                continue
            try:
                if option == "--report":
                    path.mkdir(parents=True, exist_ok=True)
                locks.enter_context(writing_folder(path) if option == "--report" else writing_file(path))
            except OSError as error:
                raise ValueError(f"{option} {path}: cannot be written ({error.strerror})") from error
        yield


def build(args: argparse.Namespace, videos: Sequence[Path]) -> tuple[Predictor, DecisionRule]:
    """Load the networks, choose their precision, and say what was found of it; return what scores and what decides."""
    members = chosen_members(args, SpreadFrames(args.frames or FRAMES_PER_VIDEO))
    if args.backend in ("auto", "torch"):
        check_present([member.checkpoint for member in members])
    calibration = read_calibration(args.calibration) if args.calibration else None
    from deepfake.models.precision import choose_device  # torch takes seconds: not for --help or a mistyped folder
    from deepfake.prediction.loading import build_predictor, choose_backend, load_models
    from deepfake.prediction.scoring_model import describe_run

    device = choose_device(args.device)
    compiled = worth_compiling(args, len(videos))
    backend = choose_backend(args.backend, device, args.precision, len(videos), compiled)
    models = load_models(members, device, ALIGNING.get(args.detector), backend, args.url)
    # A calibration of other models is refused before the work that choosing the precision may take.
    rule = choose_rule(calibration, describe_run(models, device, args.precision, args.aggregate))
    predictor = build_predictor(
        models,
        device=device,
        precision=args.precision,
        compiled=compiled,
        weights_dir=args.weights_dir,
        aggregate=args.aggregate,
        workers=args.workers,
        videos=videos,
        begun=None if args.overwrite else begun_run(args.output),
        limits=chosen_limits(args),
    )
    if (check := predictor.check) is not None:
        hint = f"; --precision {check.precision} takes it all the same" if not check.kept else ""
        print(f"{check.summary()}{hint}", file=sys.stderr)
    return predictor, rule


def predict(args: argparse.Namespace, videos: dict[str, Path]) -> tuple[dict[str, VideoResult], int]:
    """Score the videos that no earlier, stopped run has done; write the tables, then the report.

    Returns the results by name, and how many videos have no page because it could not be written. Then, as after an
    error, the journal stays: the same command writes the report without scoring again.
    """
    predictor, rule = build(args, list(videos.values()))
    from deepfake.prediction.precision_check import with_checks
    from deepfake.prediction.run import PredictionRun
    from deepfake.prediction.scoring_model import trained_groups

    scoring = PredictionRun(predictor, list(videos.values()), args.output)
    done = 0 if args.overwrite else scoring.resume()
    if done:
        print(f"continuing: {done} of {len(videos)} videos are done already", file=sys.stderr)
    with contextlib.closing(scoring.predict()) as stream, logging_redirect_tqdm():
        for _ in tqdm(stream, total=len(videos), initial=done, unit="video", smoothing=0):
            pass
    results = {name: scoring.results[path] for name, path in videos.items()}
    run = with_checks(predictor.run, results)
    warn_of_precision(run)
    tables.write_tables(args.output, args.details, results, {**run, **trained_groups(predictor.models)}, rule)
    without_page = 0
    if args.report is not None:
        limits = chosen_limits(args)
        without_page = report(args.report, videos, results, run, predictor.models, rule, args.workers, limits)
    if not without_page:
        scoring.finish()
    return results, without_page


def worth_compiling(args: argparse.Namespace, videos: int) -> bool:
    """Return whether to compile the networks; print if that takes time, or was asked for in vain."""
    if not args.compile:
        return False
    if videos < COMPILED_FROM:
        message = f"not compiled: {videos} videos are done in less time than compiling takes ({COMPILED_FROM} are not)"
        print(message, file=sys.stderr)
        return False
    print("compiling each network with its first batch: a minute or more, without progress", file=sys.stderr)
    return True


def warn_of_precision(run: dict[str, Any]) -> None:
    """Says on stderr that videos which were checked in float32 were off too far."""
    from deepfake.prediction.precision_check import PrecisionCheck

    found = run["settings"]["precision_check"]
    if found is not None and (warning := PrecisionCheck(**found).warning()) is not None:
        print(f"warning: {warning}", file=sys.stderr)


def report(
    folder: Path,
    videos: dict[str, Path],
    results: dict[str, VideoResult],
    run: dict[str, Any],
    models: Sequence[ScoringModel],
    rule: DecisionRule,
    workers: int,
    limits: ReadLimits,
) -> int:
    """Writes a page and JSON for each video, and the table of them all; how many could not be written.

    Raises:
        OutOfSpace: the disk is full.
    """
    from visualize.report.highlights import Highlights
    from visualize.report.report import Reporter

    reporter = Reporter(folder, run, rule, Highlights(models), limits)
    failed = 0
    pages = reporter.write_all([(name, videos[name], result) for name, result in results.items()], workers)
    for name, reason in tqdm(pages, total=len(results), desc="report", unit="video", smoothing=0):
        if reason is not None:
            tqdm.write(one_line(f"no page: {name}: {reason}"), file=sys.stderr)
            failed += 1
    print(f"report: {reporter.write_index()}", file=sys.stderr)
    return failed


if __name__ == "__main__":
    sys.exit(run_guarded(main, sys.stderr.write))

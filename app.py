"""The page: drop a video or a picture, choose the ensemble, get the report. Needs no network; listens on loopback."""

from __future__ import annotations

import deepfake.idle_threads
import deepfake.interrupts

import argparse
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from deepfake.commandline import EXIT_INTERRUPTED, EXIT_USAGE, positive_int, run_guarded
from deepfake.ensemble import listed_ensembles, read_ensemble, weighted_members
from deepfake.memory import keep_freed_memory
from deepfake.scoring_options import add_host, add_networks, add_precision
from deepfake.weights import WeightsError, check_present

if TYPE_CHECKING:
    from visualize.analyst import Analyst

PORT = 7860

EPILOG = f"""The page offers the models named, and the ensembles of configs/ensembles whose checkpoints are all in the
weights folder. Uploads are deleted after an hour. Stop it with Ctrl-C.

exit codes: 0 or {EXIT_INTERRUPTED}: stopped; {EXIT_USAGE}: the command or a checkpoint cannot be used

example:
  python app.py --weights-dir weights --models MODEL_A MODEL_B --port 8080
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add_networks(add)
    add_precision(add, "two portraits")
    add(
        "--models",
        nargs="+",
        default=[],
        metavar="NAME",
        help="checkpoints in the weights folder, as an ensemble of yours",
    )
    add("--calibration", type=Path, metavar="FILE", help="of the --models, made by calibrate.py")
    add("--examples", type=Path, metavar="DIR", help="videos and pictures to try (default: two portraits)")
    add_host(add)
    add("--port", type=int, default=PORT, help="0: any that is free (default: %(default)s)")
    add("--max-size", type=positive_int, default=200, metavar="MB", help="of an upload (default: %(default)s)")
    add("--max-seconds", type=positive_int, default=600, metavar="S", help="of a video (default: %(default)s)")
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    keep_freed_memory()
    analyst = build_analyst(args)
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    from visualize.web_page import build_page, find_examples, serve  # gradio takes seconds

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does: nothing is left behind
    with tempfile.TemporaryDirectory(prefix="deepfake-examples-") as scratch:
        page = build_page(analyst, find_examples(args.examples, Path(scratch)))
        # At once: who reads it through a pipe waits for it.
        print(f"listening on {serve(page, args.host, args.port, args.max_size)} (Ctrl-C ends it)", flush=True)
        page.block_thread()
    return 0


def build_analyst(args: argparse.Namespace) -> Analyst:
    """The ensembles that can be used here.

    Raises:
        ValueError: none can, or the models or the calibration cannot.
    """
    offered, missing = {}, []
    if args.models:
        members = weighted_members([args.weights_dir / name for name in args.models])
        check_present([member.checkpoint for member in members])
        offered[" + ".join(args.models)] = members
    for file in listed_ensembles():
        members = read_ensemble(file, args.weights_dir)
        try:
            check_present([member.checkpoint for member in members])
        except WeightsError as error:
            missing.append(f"{file.stem}: {error}")
        else:
            offered[file.stem] = members
    if not offered:
        raise ValueError("no ensemble is complete; name --models, or fetch what is missing:\n  " + "\n  ".join(missing))
    from visualize.analyst import Analyst

    return Analyst(
        offered,
        weights_dir=args.weights_dir,
        device=args.device,
        detector=args.detector,
        precision=args.precision,
        max_seconds=args.max_seconds,
        calibration=(next(iter(offered)), args.calibration) if args.calibration else None,
    )


if __name__ == "__main__":
    sys.exit(run_guarded(main, sys.stderr.write))

"""The page: drop a video or a picture, choose the ensemble, get the report. Needs no network; listens on loopback."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import argparse
import os
import signal
import socket
import sys
import tempfile
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from deepfake.cli.commandline import EXIT_INTERRUPTED, EXIT_USAGE, index_int, run_guarded
from deepfake.cli.prediction_options import add_networks, add_precision
from deepfake.parallel.allocator import keep_freed_memory
from deepfake.prediction.ensemble import listed_ensembles, read_ensemble, weighted_members
from deepfake.published import WeightsError, check_present
from deepfake.scoring.calibration import read_calibration
from deepfake.storage.run_folder import delete_older, run_folder, sweep
from serving.server import address_of, bind, listen
from serving.upload_options import add_host, add_upload_options, chosen_uploads

if TYPE_CHECKING:
    from serving.analyzer import AnalyzersByName

PORT = 7860
FOLDER_PREFIX = "deepfake-page-"
"""What the names of the folders for uploads begin with; leftovers of killed pages are found by it."""
GRADIO_FOLDER = "GRADIO_TEMP_DIR"
"""The variable that names gradio's folder for files."""
UPLOAD_LIFETIME = 3600
"""Seconds that an upload is kept."""
UPLOAD_CHECK = 300
"""Seconds between looks for uploads that are older."""
GRACE_SECONDS = 1
"""Seconds that requests in progress are given at a stop: an open page keeps one without an end."""

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
    add("--port", type=index_int, default=PORT, help="0: any that is free (default: %(default)s)")
    add_upload_options(add)
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    keep_freed_memory()
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))  # ends as Ctrl-C does: nothing is left behind
    analyzers = build_analyzers(args)
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    parent = Path(os.environ.get(GRADIO_FOLDER) or tempfile.gettempdir())
    parent.mkdir(parents=True, exist_ok=True)
    # Bound first: a taken port is reported at once; until then no connection is accepted.
    with bind(args.host, args.port) as listener, run_folder(FOLDER_PREFIX, parent) as folder:
        # Uploads, what gradio makes of them, and reports while they are drawn: all goes with this folder.
        os.environ[GRADIO_FOLDER] = tempfile.tempdir = str(folder)
        serve(args, analyzers, listener, folder)
    return 0


def serve(args: argparse.Namespace, analyzers: AnalyzersByName, listener: socket.socket, folder: Path) -> None:
    """Serve the page until Ctrl-C, with its files in a folder of this run."""
    from serving.guard import AllowedHosts, Guard
    from serving.page import build_app, build_page, find_examples  # gradio takes seconds
    from serving.page_app import POLICY, PageUploads

    (folder / "examples").mkdir()
    examples = find_examples(args.examples, folder / "examples")
    options = chosen_uploads(args)
    uploads = PageUploads(folder / "uploads", options.most_bytes, options.timeout)
    stopping = Event()
    page = build_page(analyzers, options.timeout, stopping.is_set, examples)
    app = build_app(page, uploads, folder, analyzers.names, examples)
    own = frozenset(path for path in folder.rglob("*") if path.is_file())

    def tidy() -> None:
        delete_older(folder, UPLOAD_LIFETIME, own)
        sweep(FOLDER_PREFIX, folder.parent)

    def stop() -> None:
        uploads.stop()
        stopping.set()

    # Flushed: who reads it through a pipe waits for it.
    announce = partial(print, f"listening on {address_of(listener)}/ (Ctrl-C ends it)", flush=True)
    guarded = Guard(app, AllowedHosts(listener, args.allow_host), POLICY)
    listen(
        guarded, listener, announce, stopping=stop, tidy=tidy, tidy_seconds=UPLOAD_CHECK, grace_seconds=GRACE_SECONDS
    )


def build_analyzers(args: argparse.Namespace) -> AnalyzersByName:
    """The ensembles that can be used here.

    Raises:
        ValueError: none can, or the models, the device or the calibration cannot.
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
    calibrations = {next(iter(offered)): read_calibration(args.calibration)} if args.calibration else {}
    from serving.analyzer import AnalyzersByName, AnalyzerSettings

    settings = AnalyzerSettings.chosen(args, chosen_uploads(args))
    return AnalyzersByName(offered, settings, calibrations)


if __name__ == "__main__":
    sys.exit(run_guarded(main, sys.stderr.write))

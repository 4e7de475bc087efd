"""The service: POST a video or a picture, get the JSON of --details. Needs no network; listens on loopback."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import argparse
import logging
import os
import signal
import socket
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from deepfake.cli.commandline import EXIT_INTERRUPTED, EXIT_USAGE, index_int, positive_int, run_guarded
from deepfake.cli.prediction_options import add_members, add_networks, add_precision, chosen_members
from deepfake.parallel.allocator import keep_freed_memory
from deepfake.prediction.ensemble import Member
from deepfake.published import check_present
from deepfake.scoring.calibration import read_calibration
from deepfake.storage.run_folder import run_folder, sweep
from deepfake.version import package_version
from serving.server import address_of, bind, listen
from serving.upload_options import add_host, add_upload_options, chosen_uploads

if TYPE_CHECKING:
    from serving.analyzer import Analyzer

PORT = 8000
TOKEN_VARIABLE = "DEEPFAKE_TOKEN"
FOLDER_PREFIX = "deepfake-serve-"
"""What the names of the folders for uploads begin with; leftovers of killed services are found by it."""

log = logging.getLogger(__name__)

EPILOG = f"""POST /predict takes a form with the field `file`; GET /health, /metrics (Prometheus), /docs describe it.
With a token (a file, or the environment's {TOKEN_VARIABLE}) /predict and /metrics want `Authorization: Bearer TOKEN`.
Uploads are deleted when they are answered. Stop it with Ctrl-C or SIGTERM.

exit codes:
  0    stopped
  {EXIT_USAGE}    the command or a checkpoint cannot be used
  {EXIT_INTERRUPTED}  interrupted before it served

example:
  python -m serving --weights-dir weights --models MODEL_A MODEL_B --port 8080
  curl -F file=@clip.mp4 http://127.0.0.1:8080/predict
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m serving",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add_members(parser)
    add_networks(add)
    add_precision(add, "two portraits")
    add("--calibration", type=Path, metavar="FILE", help="made by calibrate.py")
    add_host(add)
    add("--port", type=index_int, default=PORT, help="0: any that is free (default: %(default)s)")
    add_upload_options(add)
    add(
        "--queue",
        type=index_int,
        default=8,
        metavar="N",
        help="uploads that may wait while one is worked on; further ones get status 429 (default: %(default)s)",
    )
    add(
        "--per-address",
        type=positive_int,
        metavar="N",
        help="uploads of one address that may wait or be worked on (default: half of all, rounded up)",
    )
    add("--token-file", type=Path, metavar="FILE", help=f"holds the token (default: the variable {TOKEN_VARIABLE})")
    args = parser.parse_args()
    if args.ensemble is not None and args.weights is not None:
        parser.error("--weights goes with --models; an ensemble's file says them")
    return args


def main() -> int:
    args = parse_args()
    keep_freed_memory()
    token = read_token(args.token_file)
    members = chosen_members(args)
    check_present([member.checkpoint for member in members])
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))  # ends as Ctrl-C does, while networks load too
    # Bound first: a taken port is reported before the networks are loaded; until then no connection is accepted.
    with bind(args.host, args.port) as listener:
        analyzer = build_analyzer(args, members)
        with run_folder(FOLDER_PREFIX) as folder:
            serve(args, analyzer, token, listener, folder)
    return 0


def serve(
    args: argparse.Namespace, analyzer: Analyzer, token: str | None, listener: socket.socket, folder: Path
) -> None:
    """Serve uploads, which lie in `folder`, until the service is stopped."""
    try:
        from serving.guard import AllowedHosts, Guard, is_loopback
        from serving.service import POLICY, Limits, Service, build_app
    except ImportError as error:
        raise ValueError(f"the service needs {error.name}: pip install -e '.[serve]'") from error
    uploads = chosen_uploads(args)
    most_each = args.per_address or (args.queue + 2) // 2
    limits = Limits(uploads.most_bytes, uploads.timeout, args.queue, most_each)
    service = Service(analyzer, limits, folder)
    if token is None and not is_loopback(listener):
        log.warning("others can reach this service and it asks for no token; --token-file sets one")
    app = build_app(service, package_version() or "unknown", token)
    guarded = Guard(app, AllowedHosts(listener, args.allow_host), POLICY)
    address = address_of(listener)
    announce = partial(print, f"listening on {address}; operations: {address}/docs", flush=True)
    listen(guarded, listener, announce, tidy=partial(sweep, FOLDER_PREFIX), stopping=service.queue.admission.stop)


def read_token(file: Path | None) -> str | None:
    """The token of a file, or else of the environment; None if there is none. It is never logged.

    Raises:
        ValueError: the file is missing, or it or the variable holds no usable token.
    """
    if file is None and TOKEN_VARIABLE not in os.environ:
        return None
    source = f"the environment's {TOKEN_VARIABLE}" if file is None else str(file)
    try:
        token = (os.environ[TOKEN_VARIABLE] if file is None else file.read_text(encoding="utf-8")).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{source}: no token can be read from it") from error
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError(f"{source}: expected a token of ASCII letters, digits and signs, without spaces")
    return token


def build_analyzer(args: argparse.Namespace, members: list[Member]) -> Analyzer:
    """Load the networks."""
    calibration = read_calibration(args.calibration) if args.calibration else None
    from serving.analyzer import AnalyzerSettings, load_analyzer

    settings = AnalyzerSettings.chosen(args, chosen_uploads(args))
    return load_analyzer(members, settings, calibration)


if __name__ == "__main__":
    sys.exit(run_guarded(main, sys.stderr.write))

"""The service: POST a video or a picture, get the JSON of --details. Needs no network; listens on loopback."""

from __future__ import annotations

import deepfake.idle_threads

import argparse
import importlib.metadata
import logging
import os
import signal
import socket
import sys
import tempfile
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepfake.calibration import choose_judge, read_calibration
from deepfake.commandline import EXIT_INTERRUPTED, EXIT_USAGE, index_int, positive_float, run_guarded
from deepfake.detectors.base import ALIGNING
from deepfake.ensemble import Member
from deepfake.memory import keep_freed_memory
from deepfake.scoring_options import add_host, add_members, add_networks, add_precision, chosen_members
from deepfake.weights import check_present

if TYPE_CHECKING:
    from export.answers import Answerer

PORT = 8000
TOKEN_VARIABLE = "DEEPFAKE_TOKEN"
PACKAGE = "deepfake-detection"
GRACE_SECONDS = 10
"""When told to stop, the service takes nothing new and gives what it works on that long."""

log = logging.getLogger(__name__)

EPILOG = f"""POST /predict takes a form with the field `file`; GET /health, /metrics (Prometheus), /docs tell the rest.
With a token (a file, or the environment's {TOKEN_VARIABLE}) /predict and /metrics want `Authorization: Bearer TOKEN`.
Uploads are deleted when they are answered. Stop it with Ctrl-C or SIGTERM.

exit codes:
  0    stopped
  {EXIT_USAGE}    the command or a checkpoint cannot be used
  {EXIT_INTERRUPTED}  interrupted before it served

example:
  python -m export.serve --weights-dir weights --models MODEL_A MODEL_B --port 8080
  curl -F file=@clip.mp4 http://127.0.0.1:8080/predict
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m export.serve",
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
    add("--max-size", type=positive_float, default=200, metavar="MB", help="of an upload (default: %(default)s)")
    add("--max-seconds", type=positive_float, default=600, metavar="S", help="of a video (default: %(default)s)")
    add("--timeout", type=positive_float, default=300, metavar="S", help="for a result (default: %(default)s)")
    add(
        "--queue",
        type=index_int,
        default=8,
        metavar="N",
        help="uploads that may wait while one is worked on; further ones are told to come back (default: %(default)s)",
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
    # Bound first, that a taken port is told before the networks are loaded; until then nobody is listened to.
    with bind(args.host, args.port) as place, tempfile.TemporaryDirectory(prefix="deepfake-serve-") as folder:
        answer = build_answerer(args, members)
        try:
            from export.service import Limits, Service, build_app
        except ImportError as error:
            raise ValueError(f"the service needs {error.name}: pip install -e '.[serve]'") from error
        limits = Limits(int(args.max_size * (1 << 20)), args.timeout, args.queue)
        service = Service(answer, answer.models, limits, Path(folder))
        if token is None and not _is_loopback(place):
            log.warning("others can reach this service and it asks for no token; --token-file sets one")
        listen(build_app(service, importlib.metadata.version(PACKAGE), token), place)
    return 0


def read_token(file: Path | None) -> str | None:
    """The token of a file, or else of the environment; None if there is none. Never told to anybody.

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


def build_answerer(args: argparse.Namespace, members: list[Member]) -> Answerer:
    """Loads the networks."""
    calibration = read_calibration(args.calibration) if args.calibration else None
    from export.answers import Answerer
    from kernel_utils import load_predictor  # torch takes seconds: not for --help or a mistyped name

    detector = ALIGNING.get(args.detector)
    predictor = load_predictor(members, args.device, detector, args.weights_dir, args.precision)
    return Answerer(predictor, choose_judge(calibration, predictor.run), args.max_seconds)


def bind(host: str, port: int) -> socket.socket:
    """A socket at the address, not listening yet.

    Raises:
        ValueError: the port is taken, or the address is not this machine's.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        place = socket.socket(family)
        try:
            place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            place.bind(address)
        except BaseException:
            place.close()
            raise
    except (OSError, OverflowError) as error:
        raise ValueError(f"cannot listen on {host}:{port}: {error}; choose another --port or --host") from error
    return place


def listen(app: Any, place: socket.socket) -> None:
    """Serves the application until SIGTERM or Ctrl-C; then ends what is under way, within GRACE_SECONDS."""
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            host, port = place.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            print(f"listening on http://{shown}:{port}; operations: http://{shown}:{port}/docs", flush=True)

    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=GRACE_SECONDS)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    # The server raises the signal that has stopped it again: being stopped is how a service ends well.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    Server(config).run(sockets=[place])


def _is_loopback(place: socket.socket) -> bool:
    return ip_address(place.getsockname()[0].split("%")[0]).is_loopback


if __name__ == "__main__":
    sys.exit(run_guarded(main, sys.stderr.write))

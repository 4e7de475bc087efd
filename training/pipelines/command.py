"""What the training commands share: the log, how errors end, exit codes."""

from __future__ import annotations

import copy
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from deepfake.cli.commandline import EXIT_DIVERGED, EXIT_INTERRUPTED, EXIT_USAGE
from deepfake.parallel import interrupts
from deepfake.parallel.allocator import keep_freed_memory
from training.engine.epoch_log import UNFINISHED, lines_there


class LogFile(logging.FileHandler):
    """Adds to a file, in a folder that is made; where it cannot, says so in one line, and training goes on.

    Of an epoch's entry that a killed run may have written, it adds what is missing.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(path, encoding="utf-8")

    def emit(self, record: logging.LogRecord) -> None:
        lines = getattr(record, UNFINISHED, None)
        if lines is None:
            super().emit(record)
            return
        records = [_with_message(record, line) for line in lines]
        try:
            found = Path(self.baseFilename).read_text(encoding="utf-8", errors="replace")
        except OSError:
            self.handleError(record)
            return
        for missing in records[lines_there([self.format(one) for one in records], found) :]:
            super().emit(missing)

    def handleError(self, record: logging.LogRecord) -> None:
        print(f"error: {self.baseFilename}: {sys.exc_info()[1]}", file=sys.stderr)


def _with_message(record: logging.LogRecord, message: str) -> logging.LogRecord:
    changed = copy.copy(record)
    changed.msg, changed.args = message, ()
    return changed


def _is_new(record: logging.LogRecord) -> bool:
    """False for what an earlier, killed run has shown, or some of it."""
    return not hasattr(record, UNFINISHED)


def run_task(name: str, options: Callable[[], Any], log_file: Path | None) -> int:
    """Train a registered task (`training.tasks.registry`); see `run_training`.

    Args:
        options: makes the task's options, as `training.pipelines.options` parses them.
    """

    def train() -> None:
        from training.tasks.registry import TASKS

        TASKS[name](options())

    return run_training(train, log_file)


def run_training(train: Callable[[], None], log_file: Path | None = None) -> int:
    """Trains, logging to standard output; a user's error is one line.

    Args:
        train: imports what takes seconds itself: the command line is known to be good when it is called.
        log_file: the main process logs to the end of it, too, on whichever machine it is.

    Returns:
        The exit code.
    """
    keep_freed_memory()
    # Until the run looks after it there is nothing to save. launch.py starts processes with SIGTERM held back.
    signal.signal(signal.SIGTERM, _end)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    # A shell starts what runs in the background deaf to Ctrl-C.
    interrupts.install()
    from training.engine.stopping import Stopped
    from training.engine.trainer import NonFiniteLoss

    try:
        _start_log(log_file)
        train()
    except NonFiniteLoss as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_DIVERGED
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    except Stopped:
        return 0
    except KeyboardInterrupt:
        print("interrupted; --resume auto continues after the last checkpoint", file=sys.stderr)
        return EXIT_INTERRUPTED
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # ending already, and with the right code
    return 0


def _end(number: int, frame: FrameType | None) -> None:
    if interrupts.is_importing(frame):
        os._exit(0)  # C++ code does not expect an exception there
    sys.exit(0)


def _start_log(log_file: Path | None) -> None:
    is_main = os.environ.get("RANK", "0") == "0"
    screen = logging.StreamHandler(sys.stdout)
    screen.addFilter(_is_new)
    handlers: list[logging.Handler] = [screen]
    if is_main and log_file is not None:
        handlers.append(LogFile(log_file))
    logging.basicConfig(
        handlers=handlers,
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
        level=logging.INFO if is_main else logging.WARNING,
    )

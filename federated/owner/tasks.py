"""What every task of a Substra run has: a log, and errors that end in one line.

A task runs in a process of its own, which Substra starts. A local run tells it through `RUN_FOLDER` where to keep its
log and its results; elsewhere the log goes to standard error alone, which Substra keeps.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deepfake.cli.commandline import EXIT_DIVERGED, EXIT_INTERRUPTED, EXIT_USAGE
from deepfake.parallel.allocator import keep_freed_memory
from deepfake.parallel.pool import exit_with_parent

RUN_FOLDER = "DEEPFAKE_FEDERATED_RUN"
RUN_PROCESS = "DEEPFAKE_FEDERATED_PROCESS"
"""The id of the process that a local run's tasks are children of; where they find another, it was killed."""
_LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Inside, a user's error or Ctrl-C ends the process with one line at most, and with the commands' exit code."""
    try:
        yield
    except KeyboardInterrupt:
        raise SystemExit(EXIT_INTERRUPTED) from None
    except Exception as error:
        from training.engine.trainer import NonFiniteLoss

        if not isinstance(error, (ValueError, OSError, NonFiniteLoss)):
            raise
        logging.getLogger(__name__).error("%s", error)
        raise SystemExit(EXIT_DIVERGED if isinstance(error, NonFiniteLoss) else EXIT_USAGE) from None


def begin_task(owner: str) -> None:
    """Freed memory is kept, as in all programs that compute; log lines go to standard error and, in a local run, to
    `logs/OWNER.log`, unless this process has a log. A task of a local run ends with the program that has started it."""
    keep_freed_memory()
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if (folder := run_folder()) is not None:
        exit_with_parent(int(os.environ[RUN_PROCESS]))
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(folder / "logs" / f"{owner}.log", encoding="utf-8"))
    logging.basicConfig(format=_LOG_FORMAT, datefmt="%H:%M:%S", level=logging.INFO, handlers=handlers)


def run_folder() -> Path | None:
    """Where a local run keeps its files; None elsewhere."""
    folder = os.environ.get(RUN_FOLDER)
    return Path(folder) if folder else None


def finished_folder() -> Path | None:
    """Where a local run keeps its finished tasks' results."""
    folder = run_folder()
    return folder / "finished" if folder is not None else None

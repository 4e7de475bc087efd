"""What the training commands share: the log, how errors end, exit codes."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable

from deepfake.commandline import EXIT_INTERRUPTED, EXIT_USAGE

EXIT_DIVERGED = 1


def run_training(train: Callable[[], None]) -> int:
    """Trains, logging to standard output; a user's error is one line.

    Args:
        train: imports what takes seconds itself: the command line is known to be good when it is called.

    Returns:
        The exit code.
    """
    main_rank = os.environ.get("RANK", "0") == "0"
    logging.basicConfig(
        stream=sys.stdout,
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
        level=logging.INFO if main_rank else logging.WARNING,
    )
    from training.engine import NonFiniteLoss

    try:
        train()
    except NonFiniteLoss as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_DIVERGED
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        print("interrupted; --resume auto continues after the last finished epoch", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0

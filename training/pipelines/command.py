"""What the training commands share: the log, how errors end, exit codes."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable

from deepfake.commandline import EXIT_INTERRUPTED, EXIT_USAGE
from deepfake.memory import keep_freed_memory

EXIT_DIVERGED = 1


def run_training(train: Callable[[], None]) -> int:
    """Trains, logging to standard output; a user's error is one line.

    Args:
        train: imports what takes seconds itself: the command line is known to be good when it is called.

    Returns:
        The exit code.
    """
    keep_freed_memory()
    # Until the run looks after it there is nothing to save. launch.py starts processes with SIGTERM held back.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    # A shell starts what runs in the background deaf to Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main_rank = os.environ.get("RANK", "0") == "0"
    logging.basicConfig(
        stream=sys.stdout,
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
        level=logging.INFO if main_rank else logging.WARNING,
    )
    from training.engine import NonFiniteLoss
    from training.stopping import Stopped

    try:
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

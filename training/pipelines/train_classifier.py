"""Trains first place's classifier: one network, one fold, one seed."""

from __future__ import annotations

import logging
import os
import sys

from deepfake.commandline import EXIT_INTERRUPTED, EXIT_USAGE
from training.pipelines.options import parse_args

EXIT_DIVERGED = 1


def main() -> int:
    arguments = parse_args()
    main_rank = os.environ.get("RANK", "0") == "0"
    logging.basicConfig(
        stream=sys.stdout,
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
        level=logging.INFO if main_rank else logging.WARNING,
    )
    # After the command line is known to be good: these take seconds.
    from training.engine import NonFiniteLoss
    from training.run import RunOptions, run

    try:
        run(RunOptions(**arguments))
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


if __name__ == "__main__":
    sys.exit(main())

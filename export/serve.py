"""`python -m export.serve`, as the service was started when it lived here: see `serving.__main__`."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import sys

from deepfake.cli.commandline import run_guarded
from serving.__main__ import main

if __name__ == "__main__":
    sys.exit(run_guarded(main, sys.stderr.write))

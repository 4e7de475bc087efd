"""Trains first place's classifier: one network, one fold, one seed."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import sys

from training.pipelines.command import run_task
from training.pipelines.options import parse_args


def main() -> int:
    return run_task("classifier", *parse_args())


if __name__ == "__main__":
    sys.exit(main())

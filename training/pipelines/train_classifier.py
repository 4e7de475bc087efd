"""Trains first place's classifier: one network, one fold, one seed."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import sys

from training.pipelines.command import run_training
from training.pipelines.options import parse_args


def main() -> int:
    options, log_file = parse_args()

    def train() -> None:
        from training.tasks.run import run

        run(options())

    return run_training(train, log_file)


if __name__ == "__main__":
    sys.exit(main())

"""Trains second place's WS-DAN: Xception or EfficientNet-B3 with attention."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import sys

from training.pipelines.command import run_training
from training.pipelines.options import parse_wsdan_args


def main() -> int:
    options, log_file = parse_wsdan_args()

    def train() -> None:
        from training.tasks.run_aligned import run_wsdan

        run_wsdan(options())

    return run_training(train, log_file)


if __name__ == "__main__":
    sys.exit(main())

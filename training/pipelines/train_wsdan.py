"""Trains second place's WS-DAN: Xception or EfficientNet-B3 with attention."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import sys

from training.pipelines.command import run_task
from training.pipelines.options import parse_wsdan_args


def main() -> int:
    return run_task("wsdan", *parse_wsdan_args())


if __name__ == "__main__":
    sys.exit(main())

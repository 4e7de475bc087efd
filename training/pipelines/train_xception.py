"""Trains second place's Xception."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import sys

from training.pipelines.command import run_task
from training.pipelines.options import parse_xception_args


def main() -> int:
    return run_task("xception", *parse_xception_args())


if __name__ == "__main__":
    sys.exit(main())

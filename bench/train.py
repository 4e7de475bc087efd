"""Measures training: the plain way against this project's, the loader alone, memory, and how much of the GPU is used.

Plain is eager, NCHW, float16 autocast with loss scaling on CUDA (float32 on a CPU), an optimizer that is not fused, and
a wait for each step's loss. Both ways train the same network on the same batch, in turns; the fastest turn of each
counts. FLOPs are the network's own, forward and backward, a multiply-add as two; utilisation is their share of the
device's dense bfloat16 peak.
"""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import argparse
from pathlib import Path

from bench.measuring import TRAINING_STEPS
from deepfake.parallel.pool import default_workers

EXAMPLE = """examples:
  python bench/train.py                                         # B5 and B7 at 380 on a GPU, a small network on a CPU
  python bench/train.py configs/b7.json --batch-size 24 --data-dir DATA_ROOT"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "configs", nargs="*", type=Path, metavar="JSON",
        help="recipes of first place (default: configs/b5.json and b7.json on CUDA, tiny.json on a CPU)",
    )  # fmt: skip
    add("--device", choices=["auto", "cpu", "cuda"], default="auto", help="(default: cuda if there)")
    add("--batch-size", type=int, metavar="N", help="instead of the config's")
    add("--size", type=int, metavar="PIXELS", help="instead of the config's")
    add("--opt-level", choices=["O0", "O1", "bf16"], help="of this project's way (default: bf16 on CUDA, O0 on a CPU)")
    add("--compile", action=argparse.BooleanOptionalAction, help="this project's way compiled (default: on CUDA)")
    add("--accumulate", type=int, default=1, metavar="N", help="parts of a batch, both ways (default: 1)")
    add(
        "--steps",
        type=int,
        metavar="N",
        help=f"steps of a turn (default: {TRAINING_STEPS['cuda']} on CUDA, else {TRAINING_STEPS['cpu']})",
    )
    add(
        "--repeat",
        type=int,
        default=3,
        metavar="N",
        help="turns; the fastest of each way counts (default: %(default)s)",
    )
    add("--peak-tflops", type=float, metavar="T", help="the device's dense bfloat16 peak (default: by its name)")
    add("--data-dir", type=Path, metavar="DATA_ROOT", help="whose crops the loader reads (default: made-up ones)")
    add("--workers", type=int, default=default_workers(), help="loader processes (default: one a core)")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from bench.training_ways import measure_all  # torch, which --help does without

    measure_all(args)


if __name__ == "__main__":
    main()

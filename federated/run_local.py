"""Federated averaging over owners' data samples on this machine: no server, no containers."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from deepfake.cli.commandline import positive_int
from federated.options import RUN, SAMPLES, add_recipe, local_settings, run_program

EXAMPLE = """example:
  python federated/generate_data_samples.py --root-dir DATA_ROOT --owners 2 --out samples
  python federated/run_local.py --samples samples --config configs/tiny.json --rounds 3 --out federated_run

writes into OUT: federated.pt, the averaged network, which predict_folder.py takes (with --batch-norm local one for
each owner); performances.csv and rounds.png, log loss, AUC and accuracy at each owner after each round, beside training
alone and on pooled data; logs/OWNER.log. A run that was killed goes on where it was."""


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=f"{__doc__} Each owner's tasks are processes of their own, as Substra starts them.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--samples", type=Path, default=SAMPLES, help="owners' data samples (default: %(default)s)")
    add("--rounds", type=positive_int, default=3, metavar="N", help="(default: %(default)s)")
    add("--out", type=Path, default=RUN, metavar="OUT", help="(default: %(default)s)")
    add("--no-baselines", dest="baselines", action="store_false", help="no training alone and on pooled data")
    add_recipe(parser)
    return parser.parse_args(arguments)


def main() -> int:
    args = parse_args()
    from federated.plan.local_run import LocalRun, run
    from federated.plan.plan import require_substra
    from federated.plan.results import format_last

    require_substra()
    settings = local_settings(args, args.rounds)
    table = run(LocalRun(args.samples, args.out, settings, args.init, args.from_scratch, args.baselines))
    print(f"after round {args.rounds}:\n{format_last(table)}\nnetwork, performances.csv, rounds.png: {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(run_program(main))

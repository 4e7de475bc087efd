"""Registers owners' data samples with a Substra network, starts the compute plan there, and fetches what it made."""

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
  export SUBSTRA_OWNER1_TOKEN=... SUBSTRA_OWNER2_TOKEN=... SUBSTRA_AGGREGATOR_TOKEN=...
  python federated/register.py --config federated/connection.yaml --samples samples --recipe configs/b5.json --rounds 3

Run again, it registers nothing twice: it tells how far the plan is and, when that is done, writes federated.pt.

Owners who have no token but their own register at home, one after the other, and hand on assets_keys.json, which
holds no secrets; whoever averages starts the plan; an owner fetches the network:
  python federated/register.py --config mine.yaml --samples my_samples --data-only
  python federated/register.py --config mine.yaml --plan-only --recipe configs/b5.json --rounds 3
  python federated/register.py --config mine.yaml --samples my_samples --recipe configs/b5.json --aggregator owner1"""


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--config", dest="connection", type=Path, required=True, metavar="YAML", help="see federated/connection.yaml")
    add("--samples", type=Path, default=SAMPLES, help="owners' data samples (default: %(default)s)")
    add("--keys", type=Path, default=Path("assets_keys.json"), help="of what is registered (default: %(default)s)")
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--data-only", action="store_true", help="registers data, starts no plan")
    part.add_argument("--plan-only", action="store_true", help="registers no data: all owners are in --keys")
    add(
        "--aggregator",
        default="aggregator",
        metavar="NAME",
        help="averages, and starts the plan (default: %(default)s)",
    )
    add("--rounds", type=positive_int, default=3, metavar="N", help="(default: %(default)s)")
    add("--use-gpu", action="store_true", help="tasks run in containers with CUDA")
    add("--out", type=Path, default=RUN, metavar="OUT", help="(default: %(default)s)")
    add_recipe(parser, "--recipe", required=False)
    args = parser.parse_args(arguments)
    if args.config is None and not args.data_only:
        parser.error("the following arguments are required: --recipe (or --data-only)")
    return args


def main() -> int:
    args = parse_args()
    from federated.plan.plan import require_substra

    require_substra()
    from federated.plan.network import Network
    from federated.plan.registering import Asked, register, run_plan
    from federated.plan.results import format_last

    asked = Asked(Network(args.connection), None if args.plan_only else args.samples, args.keys, args.out)
    register(asked, print)
    if args.data_only:
        print(f"keys: {args.keys}")
        return 0
    settings = local_settings(args, args.rounds)
    state = run_plan(asked, args.aggregator, settings, args.init, args.from_scratch, args.use_gpu, print)
    print(f"compute plan {state.key}: {state.status}; keys: {args.keys}")
    if len(state.performances):
        print(f"after round {state.performances['round'].max()}:\n{format_last(state.performances)}")
    print("\n".join(f"network: {path}" for path in state.networks) or "run the same command again to see how far it is")
    return 0


if __name__ == "__main__":
    sys.exit(run_program(main))

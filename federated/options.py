"""Options that the federated commands share, and how these commands end."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
from collections.abc import Callable
from pathlib import Path

from deepfake.cli.commandline import EXIT_DIVERGED, index_int, positive_int, run_guarded
from deepfake.parallel.allocator import keep_freed_memory
from federated.owner.settings import AVERAGE, BATCH_NORMS, LocalSettings
from training.config import DEFAULT_SEED, TrainConfig, read_config

DEBUG_STEPS = 2
SAMPLES, RUN = Path("federated_samples"), Path("federated_run")
"""Where the commands write data samples and runs, unless told."""


def add_recipe(parser: argparse.ArgumentParser, name: str = "--config", required: bool = True) -> None:
    """Adds what `local_settings` reads, and where the network starts; `name` is the option of the recipe's file."""
    group = parser.add_argument_group("recipe")
    add = group.add_argument
    told = "first place's recipe, one of configs/*.json"
    add(name, dest="config", type=Path, required=required, metavar="JSON", help=told)
    add("--seed", type=positive_int, default=DEFAULT_SEED, help="draws and augments (default: %(default)s)")
    add(
        "--epochs", type=positive_int, default=1, metavar="N",
        help="an owner's epochs a round, of the config's batches_per_epoch at most (default: %(default)s)",
    )  # fmt: skip
    add(
        "--batch-norm", choices=BATCH_NORMS, default=AVERAGE,
        help="running means and variances are averaged like weights, or stay with their owner (default: %(default)s)",
    )  # fmt: skip
    add("--init", type=Path, metavar="CKPT", help="start from a checkpoint of this network")
    add("--from-scratch", action="store_true", help="random weights instead of ImageNet's")
    add("--workers", type=index_int, default=0, metavar="N", help="loader processes of a task (default: %(default)s)")
    add("--device", choices=["auto", "cpu", "cuda"], default="auto", help="(default: cuda if there)")
    add("--debug", action="store_true", help=f"{DEBUG_STEPS} steps an epoch, to see that it all works")


def local_settings(args: argparse.Namespace, rounds: int | None = None) -> LocalSettings:
    """What the options say of training. Raises ConfigError if the config cannot be used."""
    config = read_config(args.config, TrainConfig)
    if args.debug:
        config = dataclasses.replace(config, batches_per_epoch=DEBUG_STEPS)
    return LocalSettings(config, args.seed, args.epochs, rounds, args.batch_norm, args.workers, args.device)


def run_program(main: Callable[[], int]) -> int:
    """`deepfake.cli.commandline.run_guarded` for commands that train."""
    keep_freed_memory()
    # Told by the programs themselves; of Substra's libraries only what is wrong.
    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.WARNING, stream=sys.stderr)
    logging.getLogger("federated").setLevel(logging.INFO)

    def trained() -> int:
        try:
            return main()
        except RuntimeError as error:
            from training.engine.trainer import NonFiniteLoss  # takes seconds, which Ctrl-C may interrupt

            if not isinstance(error, NonFiniteLoss):
                raise
            sys.stderr.write(f"error: {error}\n")
            return EXIT_DIVERGED

    return run_guarded(trained, sys.stderr.write)

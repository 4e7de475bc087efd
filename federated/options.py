"""Options that the federated commands share, and how these commands end."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
from collections.abc import Callable
from pathlib import Path

from deepfake.cli.commandline import EXIT_DIVERGED, run_guarded
from deepfake.cli.options import add_options, values_of
from deepfake.parallel.allocator import keep_freed_memory
from federated.owner.settings import LocalSettings
from training.config import TrainConfig, read_config

DEBUG_STEPS = 2
SAMPLES, RUN = Path("federated_samples"), Path("federated_run")
"""Where the commands write data samples and runs, by default."""


def add_recipe(parser: argparse.ArgumentParser, name: str = "--config", required: bool = True) -> None:
    """Adds what `local_settings` reads, and where the network starts; `name` is the option of the recipe's file."""
    group = parser.add_argument_group("recipe")
    add = group.add_argument
    meaning = "first place's recipe, one of configs/*.json"
    add(name, dest="config", type=Path, required=required, metavar="JSON", help=meaning)
    add_options(add, LocalSettings, ("seed", "epochs", "batch_norm"))
    add("--init", type=Path, metavar="CKPT", help="start from a checkpoint of this network")
    add("--from-scratch", action="store_true", help="random weights instead of ImageNet's")
    add_options(add, LocalSettings, ("workers", "device"))
    add("--debug", action="store_true", help=f"{DEBUG_STEPS} steps an epoch, to see that it all works")


def local_settings(args: argparse.Namespace, rounds: int | None = None) -> LocalSettings:
    """What the options say of training. Raises ConfigError if the config cannot be used."""
    config = read_config(args.config, TrainConfig)
    if args.debug:
        config = dataclasses.replace(config, batches_per_epoch=DEBUG_STEPS)
    return LocalSettings(**{**values_of(LocalSettings, args), "config": config, "rounds": rounds})


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

"""The training command lines."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from deepfake.cli.commandline import index_int
from deepfake.cli.options import add_options, values_of
from deepfake.parallel.pool import default_workers
from deepfake.storage.remote import as_location
from training.options import CLASSIFIER, CROPS, FACES, RUN, AlignedOptions, RunOptions, WSDANOptions

_EXIT_CODES = (
    "exit codes: 0 done, or stopped by SIGTERM and saved; 1 training diverged; 2 the command, config or data set "
    "cannot be used; 130 interrupted"
)

EXAMPLE = f"""example:
  python training/pipelines/train_classifier.py --config configs/b7.json --data-dir DATA_ROOT --fold 0 --seed 111 \\
      --prefix b7_111_ --output-dir weights --logdir logs/tensorboard/b7_111 --resume auto

several processes (one a GPU), as train.sh does it; with --max_restarts, all start again when one has died:
  python training/pipelines/launch.py --standalone --nproc_per_node 4 --max_restarts 3 \\
      training/pipelines/train_classifier.py --distributed --resume auto --config ...
torch.distributed.launch, as published, and torchrun start it, too, but do not hand SIGTERM on.

{_EXIT_CODES}"""

XCEPTION_EXAMPLE = f"""example:
  python training/pipelines/train_xception.py configs/xception.json --data-dir FACES --resume auto

{_EXIT_CODES}"""

WSDAN_EXAMPLE = f"""example, from the weights that train_xception.py made:
  python training/pipelines/train_wsdan.py configs/wsdan_xception.json --data-dir FACES \\
      --init weights/xception_best_dice --resume auto

{_EXIT_CODES}"""

Parsed = tuple[Callable[[], Any], Path | None]
"""What makes a run's options (it raises ValueError where they contradict each other), and the log file."""


def parse_args(arguments: Sequence[str] | None = None) -> Parsed:
    """Return the classifier's options."""
    title = "Trains first place's classifier on the crops of a preprocessed data set."
    return _parse("train_classifier.py", title, EXAMPLE, RunOptions, CROPS, CLASSIFIER, arguments)


def parse_xception_args(arguments: Sequence[str] | None = None) -> Parsed:
    """Return Xception's options."""
    title = "Trains second place's Xception on aligned faces."
    return _parse("train_xception.py", title, XCEPTION_EXAMPLE, AlignedOptions, FACES, ["from_scratch"], arguments)


def parse_wsdan_args(arguments: Sequence[str] | None = None) -> Parsed:
    """Return WS-DAN's options."""
    title = "Trains second place's WS-DAN on aligned faces."
    return _parse("train_wsdan.py", title, WSDAN_EXAMPLE, WSDANOptions, FACES, ["init", "from_scratch"], arguments)


def _parser(program: str, description: str, example: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description=description,
        epilog=example,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "config_file", nargs="?", type=Path, metavar="JSON", help="the recipe, one of configs/*.json; or --config"
    )
    return parser


def _parse(
    program: str,
    title: str,
    example: str,
    options: type,
    data: Sequence[str],
    recipe: Sequence[str],
    arguments: Sequence[str] | None,
) -> Parsed:
    """Parse a command's options.

    Args:
        options: the dataclass that they are fields of.
        data, recipe: its fields in the groups of these names.
    """
    parser = _parser(program, title, example)
    _add_data(parser, options, data)
    _add_run(parser, options)
    _add_recipe(parser, options, recipe)
    args = parser.parse_args(arguments)
    given = [path for path in (args.config_file, args.config) if path is not None]
    if len(given) != 1:
        parser.error("the following arguments are required: --config" if not given else "two configs; expected one")
    return partial(options, **{**values_of(options, args), "config": given[0]}), args.log_file


def _add_data(parser: argparse.ArgumentParser, options: type, names: Sequence[str]) -> None:
    add = parser.add_argument_group("data").add_argument
    add_options(add, options, names, parse={"data_dir": as_location}, defaults={"workers": default_workers()})


def _add_run(parser: argparse.ArgumentParser, options: type) -> None:
    group = parser.add_argument_group("run")
    group.add_argument("--config", type=Path, metavar="JSON", help="the recipe, one of configs/*.json")
    add_options(group.add_argument, options, RUN, spelled={"test_every": "--test_every"})
    group.add_argument(
        "--log-file", type=Path, metavar="F", help="add what is logged to this file, too (for plot_loss.py)"
    )
    # torch.distributed.launch passes it; torch's environment variables say the same.
    group.add_argument("--local-rank", "--local_rank", type=index_int, help=argparse.SUPPRESS)


def _add_recipe(parser: argparse.ArgumentParser, options: type, names: Sequence[str]) -> None:
    add_options(parser.add_argument_group("recipe").add_argument, options, names)

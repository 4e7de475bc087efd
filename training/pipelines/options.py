"""The training command lines."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deepfake.cli.commandline import positive_float
from deepfake.datasets.shard_reader import CACHE_GIB
from deepfake.parallel.pool import default_workers
from deepfake.storage.remote import as_location
from training.config import DEFAULT_SEED

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

Parsed = tuple[dict[str, Any], Path | None]
"""A run's options, and the log file."""


def parse_args(arguments: Sequence[str] | None = None) -> Parsed:
    """The classifier's options by the names of `training.tasks.run.RunOptions`."""
    title = "Trains first place's classifier on the crops of a preprocessed data set."
    parser = _parser("train_classifier.py", title, EXAMPLE)
    _add_data(parser)
    _add_run(parser, prefix="classifier_")
    _add_recipe(parser)
    return _parse(parser, arguments)


def parse_xception_args(arguments: Sequence[str] | None = None) -> Parsed:
    """Xception's options by the names of `training.tasks.run_aligned.AlignedOptions`."""
    parser = _parser("train_xception.py", "Trains second place's Xception on aligned faces.", XCEPTION_EXAMPLE)
    _add_faces(parser)
    _add_run(parser)
    _add_weights(parser.add_argument_group("recipe"))
    return _parse(parser, arguments)


def parse_wsdan_args(arguments: Sequence[str] | None = None) -> Parsed:
    """WS-DAN's options by the names of `training.tasks.run_aligned.WSDANOptions`."""
    parser = _parser("train_wsdan.py", "Trains second place's WS-DAN on aligned faces.", WSDAN_EXAMPLE)
    _add_faces(parser)
    _add_run(parser)
    group = parser.add_argument_group("recipe")
    group.add_argument(
        "--init", type=Path, metavar="CKPT",
        help="start from the weights of a trained Xception (a resumed run goes on with its own)",
    )  # fmt: skip
    _add_weights(group)
    return _parse(parser, arguments)


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


def _parse(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> Parsed:
    parsed = vars(parser.parse_args(arguments))
    given = [path for path in (parsed.pop("config_file"), parsed["config"]) if path is not None]
    if len(given) != 1:
        parser.error("the following arguments are required: --config" if not given else "two configs; expected one")
    log_file = parsed.pop("log_file")
    del parsed["local_rank"]
    return {**parsed, "config": given[0]}, log_file


def _add_data(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("data")
    add = group.add_argument
    add(
        "--data-dir", type=as_location, required=True, metavar="DATA",
        help="the preprocessed data set; or shards: a folder, a pattern (SHARDS/fold0[0-7]_*.tar), or a URL of either",
    )  # fmt: skip
    add("--folds-csv", type=Path, metavar="CSV", help="fold table (default: DATA_ROOT/folds.csv, else ./folds.csv)")
    add("--crops-dir", default="crops", metavar="NAME", help="crops' folder below DATA_ROOT (default: %(default)s)")
    add("--fold", type=_from(0), default=0, help="the fold that validates (default: %(default)s)")
    add(
        "--cache-dir",
        type=Path,
        metavar="DIR",
        help="for copies of remote shards (default: the user's cache folder)",
    )
    add(
        "--cache-gib", type=positive_float, default=CACHE_GIB, metavar="N",
        help="the copies' size at most, of all processes that share the folder (default: %(default)g)",
    )  # fmt: skip
    _add_workers(group)


def _add_faces(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("data")
    add = group.add_argument
    add("--data-dir", type=Path, required=True, metavar="FACES", help="a folder of aligned faces")
    add("--face-list", type=Path, metavar="CSV", help="its videos with label and set (default: FACES/faces.csv)")
    _add_workers(group)


def _add_workers(group: argparse._ArgumentGroup) -> None:
    workers = default_workers()
    group.add_argument("--workers", type=_from(0), default=workers, help="loader processes (default: one a core)")


def _add_run(parser: argparse.ArgumentParser, prefix: str = "") -> None:
    group = parser.add_argument_group("run")
    add = group.add_argument
    add("--config", type=Path, metavar="JSON", help="the recipe, one of configs/*.json")
    add("--seed", type=_from(1), default=DEFAULT_SEED, help="draws and augments (default: %(default)s)")
    add("--prefix", default=prefix, help=f"begins the checkpoints' names (default: {prefix or 'nothing'})")
    add("--output-dir", type=Path, default=Path("weights"), help="for checkpoints (default: %(default)s)")
    add("--logdir", type=Path, default=Path("logs"), help="for TensorBoard scalars (default: %(default)s)")
    add("--log-file", type=Path, metavar="F", help="add what is logged to this file, too (for plot_loss.py)")
    add("--resume", metavar="CKPT", help="continue from this checkpoint; auto: from the run's own _last, if there")
    add("--from-zero", action="store_true", help="with --resume: take the weights only, start at epoch 0")
    add("--zero-score", action="store_true", help="with --resume: forget the best metric")
    add("--epochs", type=_from(1), help="train so many epochs instead of the config's")
    add("--test_every", type=_from(1), default=1, metavar="N", help="validate every N epochs (default: %(default)s)")
    add(
        "--keep-epochs", type=_from(0), default=5, metavar="N",
        help="per-epoch checkpoints that stay, those of the lowest weighted losses; 0: all (default: %(default)s)",
    )  # fmt: skip
    add(
        "--checkpoint-every", type=_from(0), default=500, metavar="STEPS",
        help="save after so many steps of an epoch, too, should the run be killed; 0: only when SIGTERM comes "
        "(default: %(default)s)",
    )  # fmt: skip
    add("--distributed", action="store_true", help="one of several processes, started by torchrun")
    # torch.distributed.launch passes it; torch's environment variables say the same.
    add("--local-rank", "--local_rank", type=_from(0), help=argparse.SUPPRESS)
    add("--device", choices=["auto", "cpu", "cuda"], default="auto", help="(default: cuda if there)")
    add(
        "--opt-level", choices=["O0", "O1", "bf16"],
        help="O0: float32; O1: float16 autocast with loss scaling; bf16: bfloat16 autocast "
        "(default: O1 on CUDA if the config says fp16, else O0)",
    )  # fmt: skip
    add(
        "--accumulate", type=_from(1), metavar="N",
        help="put each batch through the network in N parts and add up their gradients: for a GPU that is too small "
        "for the config's batch (batch norms see the parts; default: the config's optimizer.accumulate, else 1)",
    )  # fmt: skip
    add("--compile", action="store_true", help="compile the network for training (torch.compile; minutes at the start)")


def _add_recipe(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("recipe")
    add = group.add_argument
    add("--freeze-epochs", type=_from(0), default=0, metavar="N", help="encoder stands still for N epochs (default: 0)")
    add("--label-smoothing", type=float, default=0.01, metavar="E", help="labels in [E, 1 - E] (default: %(default)s)")
    add(
        "--padding-part", type=int, default=3, metavar="N",
        help="margin of 1/N of the face box instead of a third (default: %(default)s)",
    )  # fmt: skip
    add("--no-oversample", dest="oversample", action="store_false", help="all fakes, not as many as reals")
    add("--no-hardcore", dest="hardcore", action="store_false", help="no occlusions")
    add("--only-changed-frames", action="store_true", help="no loss for fakes' crops whose mask shows no change")
    _add_weights(group)


def _add_weights(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--from-scratch", action="store_true", help="random weights instead of ImageNet's")


def _from(least: int):
    def whole_number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value}: expected {least} or more")
        return value

    return whole_number

"""The options of commands that score: which networks, where they are, what finds their faces, how they compute.

Functions take a parser, or a parser's or a group's `add_argument`; nothing is parsed here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deepfake.cli.options import Adds
from deepfake.faces.detectors.base import ALIGNING
from deepfake.media.video import FrameChoice
from deepfake.prediction.ensemble import Member, listed_ensembles, named_ensemble, weighted_members
from deepfake.prediction.face_collector import FRAMES


def add_networks(add: Adds) -> None:
    """`--weights-dir`, `--detector` (a key of ALIGNING, or None) and `--device`."""
    add("--weights-dir", type=Path, default=Path("weights"), metavar="DIR", help="default: %(default)s")
    add(
        "--detector",
        choices=list(ALIGNING),
        help="finds faces for networks that see aligned ones (default: what they were trained with); RetinaFace takes "
        "its published weights from the weights folder, mtcnn needs none",
    )
    add("--device", choices=["auto", "cpu", "cuda"], default="auto", help="default: cuda if there is one")


def add_precision(add: Adds, tried_on: str) -> None:
    """`--precision`, as `deepfake.prediction.precision_choice.choose_precision` takes it.

    Args:
        tried_on: whose scores are to stay with fewer bits, in words.
    """
    add(
        "--precision",
        choices=["auto", "float32", "bf16", "fp16"],
        default="auto",
        help="auto: what the machine is fastest in (bf16 where the CPU multiplies it, fp16 on CUDA) if the scores of "
        f"{tried_on} stay within 0.01 of float32's, else float32 (default: %(default)s)",
    )


def add_members(parser: Any) -> None:
    """`--models`, which `--weights` may go with, or `--ensemble`: for `chosen_members`."""
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--models", nargs="+", metavar="NAME", help="checkpoints in the weights folder, of any family")
    named = ", ".join(file.stem for file in listed_ensembles())
    group.add_argument("--ensemble", metavar="NAME", help=f"{named} (configs/ensembles), or a file of yours")
    parser.add_argument(
        "--weights", nargs="+", type=float, metavar="W", help="of the models, in their order (default: all equal)"
    )


def chosen_members(args: Any, frames: FrameChoice = FRAMES) -> list[Member]:
    """The checkpoints to score with.

    Args:
        args: with the options of the two functions above.
        frames: what models that are named see of a video; an ensemble's file says it itself.

    Raises:
        EnsembleError: an ensemble or weights that cannot be used.
    """
    if args.ensemble is not None:
        return named_ensemble(args.ensemble, args.weights_dir)
    return weighted_members([args.weights_dir / name for name in args.models], args.weights, frames)

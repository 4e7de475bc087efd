"""The options that say which videos of a data set a command takes, and how these lie on the disk."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

from typing_extensions import Doc

from deepfake.cli.options import Adds, add_options, values_of
from deepfake.datasets.layout_registry import LAYOUTS
from deepfake.datasets.reading import AUTO, is_dataset, read_dataset
from deepfake.datasets.records import FRAMES, Dataset


@dataclass(frozen=True)
class DatasetOptions:
    """Which videos of a data set; None takes all."""

    layout: Annotated[str, Doc(f"how the data set lies on the disk: {AUTO} or one of {', '.join(LAYOUTS.names())}")] = (
        AUTO
    )
    methods: Annotated[tuple[str, ...] | None, Doc("only fakes of these methods, and the reals they are made of")] = (
        None
    )
    compression: Annotated[tuple[str, ...] | None, Doc("only videos compressed so: raw, c23, c40")] = None
    split: Annotated[tuple[str, ...] | None, Doc("only these official splits: train, val, test")] = None
    pictures: Annotated[
        Literal["frames", "crops"], Doc("what pictures are, where the layout does not say: whole frames, or face crops")
    ] = FRAMES  # type: ignore[assignment]


def add_dataset(add: Adds) -> None:
    """Add `--layout`, `--methods`, `--compression`, `--split` and `--pictures`, for `read_chosen`."""
    add_options(add, DatasetOptions, [field.name for field in fields(DatasetOptions)])


def add_out_root(add: Adds) -> None:
    """Add `--out-root`, for a data set that stays as it is."""
    add(
        "--out-root",
        type=Path,
        metavar="DIR",
        help="where boxes, crops and all else goes, for a data set that stays as it is (default: DATA_ROOT)",
    )


def read_chosen(root: Path, args: Namespace) -> Dataset:
    """Return the videos of a data set that the options of `add_dataset` choose.

    Raises:
        ValueError: see `read_dataset`.
    """
    chosen = DatasetOptions(**values_of(DatasetOptions, args))
    return read_dataset(root, chosen.layout, chosen.methods, chosen.compression, chosen.split, chosen.pictures)


def read_if_dataset(root: Path, args: Namespace) -> Dataset | None:
    """Return what `read_chosen` does; None if no layout is recognized, and no option asks for one.

    Raises:
        ValueError: see `read_dataset`.
    """
    return read_chosen(root, args) if dataset_arguments(args) or is_dataset(root) else None


def dataset_arguments(args: Namespace) -> list[str]:
    """Return the options of `add_dataset` that choose the same videos; none where they are the usual ones."""
    usual = DatasetOptions()
    words: list[str] = []
    for name, value in values_of(DatasetOptions, args).items():
        if value != getattr(usual, name):
            words += [f"--{name}", *([value] if isinstance(value, str) else value)]
    return words

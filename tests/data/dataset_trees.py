"""Small trees of each layout, with the traps that the real data sets have.

A tree's files are written by a function of the caller's, so that the same trees hold empty files or real clips.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

Write = Callable[[Path, int], None]
"""Writes a video or picture, by its path's suffix; the second is its label, 1 for fake."""


def touch(path: Path, label: int) -> None:
    """Write an empty file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


@dataclass(frozen=True)
class ExampleTree:
    """A layout's tree.

    Attributes:
        make: writes it below a folder, the files by a `Write`.
        labels: what its videos' ids and labels are.
        originals: fake -> its original, for those that have one in the tree.
        splits: the official split of those that have one.
        methods: of the fakes that have one.
    """

    layout: str
    make: Callable[[Path, Write], None]
    labels: dict[str, int]
    originals: dict[str, str] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)
    methods: dict[str, str] = field(default_factory=dict)


def write_all(root: Path, write: Write, label: int, names: str) -> None:
    """Write several files, their paths below the root separated by spaces."""
    for name in names.split():
        write(root / name, label)


def make_dfdc(root: Path, write: Write = touch) -> None:
    for part, original in enumerate(("aaa", "bbb")):
        folder = root / f"dfdc_train_part_{part}"
        write(folder / f"{original}.mp4", 0)
        write(folder / f"{original}_x.mp4", 1)
        entries = {
            f"{original}.mp4": {"label": "REAL", "split": "train"},
            f"{original}_x.mp4": {"label": "FAKE", "split": "train", "original": f"{original}.mp4"},
        }
        (folder / "metadata.json").write_text(json.dumps(entries))


def make_folders(root: Path, write: Write = touch) -> None:
    """Two methods, official splits, one name everywhere."""
    write_all(root, write, 0, "train/0_real/a.mp4 train/0_real/b.mp4 test/0_real/c.mp4")
    write_all(root, write, 1, "train/1_fake/swap/a.mp4 train/1_fake/puppet/a.mp4 test/1_fake/swap/c.mp4")


def make_csv(root: Path, write: Write = touch) -> None:
    """A table as a spreadsheet on Windows saves it: byte-order mark, its line ends, back slashes."""
    write_all(root, write, 0, "clips/a.mp4 clips/b.mp4")
    write_all(root, write, 1, "more/a.mp4 more/d.mp4")
    rows = [
        *("path,label,original,method,split", "clips/a.mp4,REAL,,,train", "clips/b.mp4,0,,,test"),
        *("more/a.mp4,fake,clips/a.mp4,swap,train", "more\\d.mp4,1,b.mp4,puppet,Test", "more/gone.mp4,1,,swap,test"),
    ]
    (root / "videos.csv").write_bytes(b"\xef\xbb\xbf" + "\r\n".join([*rows, ""]).encode())


TREES = [
    ExampleTree(
        "dfdc",
        make_dfdc,
        {"aaa": 0, "aaa_x": 1, "bbb": 0, "bbb_x": 1},
        originals={"aaa_x": "aaa", "bbb_x": "bbb"},
        splits=dict.fromkeys(["aaa", "aaa_x", "bbb", "bbb_x"], "train"),
    ),
    ExampleTree(
        "folders",
        make_folders,
        {
            **{"train_0_real_a": 0, "train_0_real_b": 0, "test_0_real_c": 0},
            **{"train_1_fake_swap_a": 1, "train_1_fake_puppet_a": 1, "test_1_fake_swap_c": 1},
        },
        splits={
            **dict.fromkeys(["test_0_real_c", "test_1_fake_swap_c"], "test"),
            **dict.fromkeys(["train_0_real_a", "train_0_real_b"], "train"),
            **dict.fromkeys(["train_1_fake_swap_a", "train_1_fake_puppet_a"], "train"),
        },
        methods={"train_1_fake_swap_a": "swap", "train_1_fake_puppet_a": "puppet", "test_1_fake_swap_c": "swap"},
    ),
    ExampleTree(
        "csv",
        make_csv,
        {"clips_a": 0, "clips_b": 0, "more_a": 1, "more_d": 1},
        originals={"more_a": "clips_a", "more_d": "clips_b"},
        splits={"clips_a": "train", "clips_b": "test", "more_a": "train", "more_d": "test"},
        methods={"more_a": "swap", "more_d": "puppet"},
    ),
]

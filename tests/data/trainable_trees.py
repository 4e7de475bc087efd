"""The trees of `dataset_trees` with what they lack to be trained on: two groups to train on or validate with, each
with a real and a fake."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.data.dataset_trees import TREES, ExampleTree, Write, write_all


@dataclass(frozen=True)
class TrainableTree:
    """A tree that a network can be trained on.

    Attributes:
        add: what is written beside the example's files.
        added: labels of the videos that `add` writes, by id.
        added_to: their official split, where the set has splits.
        folds: arguments of generate_folds.py.
    """

    example: ExampleTree
    add: Callable[[Path, Write], None] = lambda root, write: None
    added: dict[str, int] = field(default_factory=dict)
    added_to: str = ""
    folds: tuple[str, ...] = ()

    @property
    def labels(self) -> dict[str, int]:
        return {**self.example.labels, **self.added}

    @property
    def splits(self) -> dict[str, str]:
        return {**self.example.splits, **(dict.fromkeys(self.added, self.added_to) if self.added_to else {})}

    def make(self, root: Path, write: Write) -> None:
        self.example.make(root, write)
        self.add(root, write)


def add_to_folders(root: Path, write: Write) -> None:
    write(root / "train" / "1_fake" / "swap" / "b.mp4", 1)


def add_to_csv(root: Path, write: Write) -> None:
    write(root / "clips" / "e.mp4", 0)
    write(root / "more" / "f.mp4", 1)
    with (root / "videos.csv").open("ab") as table:
        table.write(b"clips/e.mp4,real,,,TRAIN\r\nmore/f.mp4,1,clips/e.mp4,swap,train\r\n")


def add_to_ffpp(root: Path, write: Write) -> None:
    write(root / "original_sequences" / "youtube" / "c23" / "videos" / "010.mp4", 0)
    write(root / "manipulated_sequences" / "Face2Face" / "c23" / "videos" / "010_011.mp4", 1)
    splits = root / "splits" / "train.json"
    splits.write_text(json.dumps([*json.loads(splits.read_text()), ["011", "010"]]))


def add_to_ffpp_kaggle(root: Path, write: Write) -> None:
    write(root / "original" / "010.mp4", 0)
    write(root / "Face2Face" / "010_011.mp4", 1)


def add_to_celeb_df(root: Path, write: Write) -> None:
    write(root / "Celeb-real" / "videos" / "id2_0000.mp4", 0)
    write(root / "Celeb-synthesis" / "videos" / "id2_id3_0000.mp4", 1)


def add_to_celeb_df_pp(root: Path, write: Write) -> None:
    write(root / "Celeb-real" / "id2_0000.mp4", 0)
    write(root / "Celeb-synthesis" / "FaceSwap" / "Roop" / "id2_id3_0000.mp4", 1)


def add_to_dfdc_test(root: Path, write: Write) -> None:
    write(root / "videos" / "bbbbbbbbbb.mp4", 0)
    write(root / "videos" / "cccccccccc.mp4", 1)
    with (root / "labels.csv").open("a") as table:
        table.write("bbbbbbbbbb.mp4,0\ncccccccccc.mp4,1\n")


def add_to_dfdc_preview(root: Path, write: Write) -> None:
    entries = json.loads((root / "dataset.json").read_text())
    for actor in ("1", "2"):
        videos = {f"original_videos/{actor}/{actor}_A_001.mp4": 0, f"method_A/{actor}/{actor}_A/x_001.mp4": 1}
        for name, label in videos.items():
            write(root / name, label)
            entries[name] = {"label": ("real", "fake")[label], "set": "train"}
    (root / "dataset.json").write_text(json.dumps(entries))


def add_to_deeperforensics(root: Path, write: Write) -> None:
    reals = root / "original_sequences" / "youtube" / "c23" / "videos"
    write_all(reals, write, 0, "001.mp4 002.mp4")
    write(root / "manipulated_videos" / "end_to_end" / "002_M103.mp4", 1)
    with (root / "lists" / "splits" / "train.txt").open("ab") as names:
        names.write(b"002_M103.mp4\r\n")


def add_to_wilddeepfake(root: Path, write: Write) -> None:
    write(root / "real_train" / "2" / "real" / "3" / "0.png", 0)
    write(root / "fake_train" / "2" / "fake" / "3" / "0.png", 1)


def add_to_fakeavceleb(root: Path, write: Write) -> None:
    person = "Asian/women/id00080"
    write(root / "RealVideo-RealAudio" / person / "00001.mp4", 0)
    write(root / "FakeVideo-RealAudio" / person / "00001_2.mp4", 1)


def add_to_df40(root: Path, write: Write) -> None:
    write(root / "heygen" / "real" / "b" / "0.png", 0)


def add_to_gend(root: Path, write: Write) -> None:
    for source, video, label in (("real", "001", 0), ("DF", "001_870", 1)):
        frame = f"datasets/FF/{source}/{video}/000.png"
        write(root / frame, label)
        with (root / "config" / "datasets" / "FF" / "train" / f"{source}.txt").open("a") as frames:
            frames.write(f"\n{frame}")


_PREVIEW = {f"original_videos_{n}_{n}_A_001": 0 for n in "12"} | {f"method_A_{n}_{n}_A_x_001": 1 for n in "12"}
_AV = "Asian_women_id00080_00001"

# By the function that makes the example.
_ADDITIONS: dict[str, dict] = {
    "make_dfdc": {"folds": ("--split-by", "original", "--n-splits", "2")},
    "make_dfdc_full": {"folds": ("--parts", "2", "--n-splits", "2")},
    "make_folders": {"add": add_to_folders, "added": {"train_1_fake_swap_b": 1}, "added_to": "train"},
    "make_csv": {"add": add_to_csv, "added": {"clips_e": 0, "more_f": 1}, "added_to": "train"},
    "make_ffpp": {
        **{"add": add_to_ffpp, "added": {"youtube_c23_010": 0, "Face2Face_c23_010_011": 1}, "added_to": "train"},
    },
    "make_ffpp_kaggle": {"add": add_to_ffpp_kaggle, "added": {"youtube_c23_010": 0, "Face2Face_c23_010_011": 1}},
    "make_celeb_df": {
        **{"add": add_to_celeb_df, "added_to": "train"},
        "added": {"Celeb-real_id2_0000": 0, "Celeb-synthesis_id2_id3_0000": 1},
    },
    "make_celeb_df_pp": {
        **{"add": add_to_celeb_df_pp, "added_to": "train"},
        "added": {"Celeb-real_id2_0000": 0, "Roop_id2_id3_0000": 1},
    },
    "make_dfdc_test": {"add": add_to_dfdc_test, "added": {"bbbbbbbbbb": 0, "cccccccccc": 1}, "added_to": "test"},
    "make_dfdc_preview": {"add": add_to_dfdc_preview, "added": _PREVIEW, "added_to": "train"},
    "make_deeperforensics": {
        **{"add": add_to_deeperforensics, "added_to": "train"},
        "added": {"youtube_001": 0, "youtube_002": 0, "end_to_end_002_M103": 1},
    },
    "make_wilddeepfake": {
        **{"add": add_to_wilddeepfake, "added_to": "train"},
        "added": {"real_train_2_real_3": 0, "fake_train_2_fake_3": 1},
    },
    "make_fakeavceleb": {
        **{"add": add_to_fakeavceleb},
        "added": {f"RealVideo-RealAudio_{_AV}": 0, f"FakeVideo-RealAudio_{_AV}_2": 1},
    },
    "make_df40": {"add": add_to_df40, "added": {"heygen_real_b": 0}},
    "make_gend": {"add": add_to_gend, "added": {"FF_real_001": 0, "FF_DF_001_870": 1}, "added_to": "train"},
}

TRAINABLE = {tree.make.__name__: TrainableTree(tree, **_ADDITIONS.get(tree.make.__name__, {})) for tree in TREES}

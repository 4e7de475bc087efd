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


def make_ffpp(root: Path, write: Write = touch) -> None:
    """Two compressions, one under its older name, a method without masks, DFD, and a video that the splits miss."""
    youtube, actors = root / "original_sequences" / "youtube", root / "original_sequences" / "actors"
    fakes = root / "manipulated_sequences"
    write_all(youtube, write, 0, "c23/videos/000.mp4 c23/videos/003.mp4 c23/videos/001.mp4 c0/videos/000.mp4")
    write_all(fakes / "Deepfakes", write, 1, "c23/videos/000_003.mp4 c23/videos/003_000.mp4 c0/videos/000_003.mp4")
    write_all(fakes / "Deepfakes" / "masks" / "videos", write, 1, "000_003.mp4 003_000.mp4")
    write_all(fakes / "FaceShifter", write, 1, "c23/videos/000_003.mp4 c23/videos/001_870.mp4")
    write(actors / "c23" / "videos" / "01__talking.mp4", 0)
    write(fakes / "DeepFakeDetection" / "c23" / "videos" / "01_02__talking__YVGY8LOK.mp4", 1)
    (root / "splits").mkdir(parents=True, exist_ok=True)
    for split, pairs in (("train", [["003", "000"]]), ("val", []), ("test", [["870", "001"]])):
        (root / "splits" / f"{split}.json").write_text(json.dumps(pairs))


def make_ffpp_kaggle(root: Path, write: Write = touch) -> None:
    """No split files, and a table of all files that names one which is not there."""
    write_all(root, write, 0, "original/000.mp4 original/003.mp4")
    write_all(root, write, 1, "Deepfakes/000_003.mp4 Face2Face/000_003.mp4 Face2Face/003_000.mp4")
    write(root / "DeepFakeDetection" / "01_02__talking__YVGY8LOK.mp4", 1)
    (root / "csv").mkdir()
    rows = ["original/000.mp4,REAL", "Deepfakes/000_003.mp4,FAKE", "Deepfakes/003_000.mp4,FAKE"]
    header = ",File Path,Label,Frame Count,Width,Height,Codec,File Size(MB)"
    lines = [header, *(f"{n},{row},9,64,64,h264,0.1" for n, row in enumerate(rows))]
    (root / "csv" / "FF++_Metadata.csv").write_text("\n".join([*lines, ""]))


def make_celeb_df(root: Path, write: Write = touch) -> None:
    """A copy with videos/ in between and Youtube-real; in the list 1 is real, and one video is not there."""
    write_all(root, write, 0, "Celeb-real/videos/id0_0000.mp4 Celeb-real/videos/id0_0001.mp4")
    write_all(root, write, 0, "Youtube-real/videos/00170.mp4 Youtube-real/videos/00171.mp4")
    write_all(root, write, 1, "Celeb-synthesis/videos/id0_id1_0000.mp4 Celeb-synthesis/videos/id1_id0_0003.mp4")
    lines = ["1 YouTube-real/00170.mp4", "0 Celeb-synthesis/id1_id0_0003.mp4", "1 Celeb-real/id9_0000.mp4"]
    (root / "List_of_testing_videos.txt").write_bytes("\r\n".join([*lines, ""]).encode())


def make_celeb_df_pp(root: Path, write: Write = touch) -> None:
    """Celeb-DF++: one name under several methods."""
    write_all(root, write, 0, "Celeb-real/id0_0000.mp4 YouTube-real/00170.mp4")
    fakes = root / "Celeb-synthesis"
    write_all(fakes, write, 1, "FaceSwap/SimSwap/id0_id1_0000.mp4 FaceSwap/Roop/id0_id1_0000.mp4")
    write_all(fakes, write, 1, "FaceReenact/LIA/id0_id1_0000.mp4 TalkingFace/SadTalker/id0_0000.mp4")
    lines = ["1 YouTube-real/00170.mp4", "0 Celeb-synthesis/FaceSwap/Roop/id0_id1_0000.mp4"]
    (root / "List_of_testing_videos.txt").write_text("\n".join(lines))


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
    ExampleTree(
        "ff++",
        make_ffpp,
        {
            **{"youtube_c23_000": 0, "youtube_c23_003": 0, "youtube_c23_001": 0, "youtube_raw_000": 0},
            **{"Deepfakes_c23_000_003": 1, "Deepfakes_c23_003_000": 1, "Deepfakes_raw_000_003": 1},
            **{"FaceShifter_c23_000_003": 1, "FaceShifter_c23_001_870": 1},
            **{"actors_c23_01__talking": 0, "DeepFakeDetection_c23_01_02__talking__YVGY8LOK": 1},
        },
        originals={
            "Deepfakes_c23_000_003": "youtube_c23_000",
            "Deepfakes_c23_003_000": "youtube_c23_003",
            "Deepfakes_raw_000_003": "youtube_raw_000",
            "FaceShifter_c23_000_003": "youtube_c23_000",
            "FaceShifter_c23_001_870": "youtube_c23_001",
            "DeepFakeDetection_c23_01_02__talking__YVGY8LOK": "actors_c23_01__talking",
        },
        splits={
            **dict.fromkeys(["youtube_c23_000", "youtube_c23_003", "youtube_raw_000"], "train"),
            **dict.fromkeys(["Deepfakes_c23_000_003", "Deepfakes_c23_003_000", "Deepfakes_raw_000_003"], "train"),
            **{"FaceShifter_c23_000_003": "train", "FaceShifter_c23_001_870": "test", "youtube_c23_001": "test"},
        },
        methods={
            **dict.fromkeys(["Deepfakes_c23_000_003", "Deepfakes_c23_003_000", "Deepfakes_raw_000_003"], "Deepfakes"),
            **dict.fromkeys(["FaceShifter_c23_000_003", "FaceShifter_c23_001_870"], "FaceShifter"),
            "DeepFakeDetection_c23_01_02__talking__YVGY8LOK": "DeepFakeDetection",
        },
    ),
    ExampleTree(
        "ff++-kaggle",
        make_ffpp_kaggle,
        {
            **{"youtube_c23_000": 0, "youtube_c23_003": 0, "Deepfakes_c23_000_003": 1, "Face2Face_c23_000_003": 1},
            **{"Face2Face_c23_003_000": 1, "DeepFakeDetection_c23_01_02__talking__YVGY8LOK": 1},
        },
        originals={
            "Deepfakes_c23_000_003": "youtube_c23_000",
            "Face2Face_c23_000_003": "youtube_c23_000",
            "Face2Face_c23_003_000": "youtube_c23_003",
        },
        methods={
            **{"Deepfakes_c23_000_003": "Deepfakes", "Face2Face_c23_000_003": "Face2Face"},
            "Face2Face_c23_003_000": "Face2Face",
            "DeepFakeDetection_c23_01_02__talking__YVGY8LOK": "DeepFakeDetection",
        },
    ),
    ExampleTree(
        "celeb-df",
        make_celeb_df,
        {
            **{"Celeb-real_id0_0000": 0, "Celeb-real_id0_0001": 0, "YouTube-real_00170": 0, "YouTube-real_00171": 0},
            **{"Celeb-synthesis_id0_id1_0000": 1, "Celeb-synthesis_id1_id0_0003": 1},
        },
        originals={"Celeb-synthesis_id0_id1_0000": "Celeb-real_id0_0000"},
        splits={
            **{"YouTube-real_00170": "test", "Celeb-synthesis_id1_id0_0003": "test"},
            **dict.fromkeys(["Celeb-real_id0_0000", "Celeb-real_id0_0001", "YouTube-real_00171"], "train"),
            "Celeb-synthesis_id0_id1_0000": "train",
        },
        methods=dict.fromkeys(["Celeb-synthesis_id0_id1_0000", "Celeb-synthesis_id1_id0_0003"], "Celeb-synthesis"),
    ),
    ExampleTree(
        "celeb-df",
        make_celeb_df_pp,
        {
            **{"Celeb-real_id0_0000": 0, "YouTube-real_00170": 0, "SimSwap_id0_id1_0000": 1, "Roop_id0_id1_0000": 1},
            **{"LIA_id0_id1_0000": 1, "SadTalker_id0_0000": 1},
        },
        originals=dict.fromkeys(
            ["SimSwap_id0_id1_0000", "Roop_id0_id1_0000", "LIA_id0_id1_0000", "SadTalker_id0_0000"],
            "Celeb-real_id0_0000",
        ),
        splits={
            **{"YouTube-real_00170": "test", "Roop_id0_id1_0000": "test", "Celeb-real_id0_0000": "train"},
            **dict.fromkeys(["SimSwap_id0_id1_0000", "LIA_id0_id1_0000", "SadTalker_id0_0000"], "train"),
        },
        methods={
            **{"SimSwap_id0_id1_0000": "SimSwap", "Roop_id0_id1_0000": "Roop"},
            **{"LIA_id0_id1_0000": "LIA", "SadTalker_id0_0000": "SadTalker"},
        },
    ),
]

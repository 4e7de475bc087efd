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


def make_dfdc_full(root: Path, write: Write = touch) -> None:
    """The full data set: parts below train, and test with its table."""
    make_dfdc(root / "train", write)
    make_dfdc_test(root / "test", write)


def make_dfdc_test(root: Path, write: Write = touch) -> None:
    """The videos in videos/, and one row without its video."""
    write(root / "videos" / "aalscayrfi.mp4", 0)
    write(root / "videos" / "aavgrzytcm.mp4", 1)
    (root / "labels.csv").write_text("filename,label\naalscayrfi.mp4,0\naavgrzytcm.mp4,1\nabqvqdqxxx.mp4,1\n")


def make_dfdc_preview(root: Path, write: Write = touch) -> None:
    """A copy with videos/ in between; one name under both methods, one video that is not there, and one too many."""
    write_all(root / "original_videos", write, 0, "643103/videos/643103_A_001.mp4 643103/videos/643103_A_002.mp4")
    write_all(root, write, 1, "method_A/643103/643103_A/videos/x_001.mp4 method_B/643103/643103_C/videos/x_001.mp4")
    real, fake = {"label": "real", "set": "train"}, {"label": "fake", "set": "test", "augmentations": []}
    entries = {
        "original_videos/643103/643103_A_001.mp4": real,
        "method_A/643103/643103_A/x_001.mp4": fake,
        "method_B/643103/643103_C/x_001.mp4": fake,
        "method_A/643103/643103_A/x_009.mp4": fake,
    }
    (root / "dataset.json").write_text(json.dumps(entries))


def make_deeperforensics(root: Path, write: Write = touch) -> None:
    """Two variants of one name, the reals beside them, and one video that the lists name alone."""
    write_all(root, write, 0, "original_sequences/youtube/c23/videos/000.mp4 source_videos/M101/M101_x.mp4")
    write_all(root / "manipulated_videos", write, 1, "end_to_end/000_M101.mp4 reenact_postprocess/000_M101.mp4")
    write(root / "manipulated_videos" / "end_to_end" / "001_M102.mp4", 1)
    for split, names in (("train", ["001_M102.mp4"]), ("val", []), ("test", ["000_M101.mp4"])):
        (root / "lists" / "splits").mkdir(parents=True, exist_ok=True)
        (root / "lists" / "splits" / f"{split}.txt").write_bytes("\r\n".join([*names, ""]).encode())


def make_ffiw(root: Path, write: Write = touch) -> None:
    """The same name in two splits."""
    write_all(root / "source", write, 0, "train/0001.mp4 val/0001.mp4")
    write_all(root, write, 1, "target/train/0001.mp4 target/val/0001.mp4 target_mask/train/0001.mp4")


def make_uadfv(root: Path, write: Write = touch) -> None:
    write_all(root, write, 0, "real/0000.mp4 real/0001.mp4")
    write_all(root, write, 1, "fake/0000_fake.mp4 fake/0002_fake.mp4")


def make_wilddeepfake(root: Path, write: Write = touch) -> None:
    """Sequences of faces, deeper in one folder than in another."""
    write_all(root, write, 0, "real_train/1/real/10/0.png real_train/1/real/10/1.png real_train/1/real/11/0.png")
    write_all(root, write, 1, "fake_train/1/fake/10/0.png fake_test/7/0.png")


def make_fakeavceleb(root: Path, write: Write = touch) -> None:
    """One name under two types, and a table that names a video which is not there."""
    person = "African/men/id00076"
    write_all(root, write, 0, f"RealVideo-RealAudio/{person}/00109.mp4 RealVideo-FakeAudio/{person}/00109.mp4")
    write_all(root, write, 1, f"FakeVideo-RealAudio/{person}/00109_1.mp4 FakeVideo-FakeAudio/{person}/00109_1_wav.mp4")
    rows = [
        ("real", "RealVideo-RealAudio", "00109.mp4"),
        ("rtvc", "RealVideo-FakeAudio", "00109.mp4"),
        ("faceswap", "FakeVideo-RealAudio", "00109_1.mp4"),
        ("faceswap-wav2lip", "FakeVideo-FakeAudio", "00109_1_wav.mp4"),
        ("fsgan", "FakeVideo-RealAudio", "00109_9.mp4"),
    ]
    lines = [f"id00076,-,-,{method},A,{kind},African,men,{name},F/{kind}/{person}" for method, kind, name in rows]
    header = "source,target1,target2,method,category,type,race,gender,path,"
    (root / "meta_data.csv").write_text("\n".join([header, *lines, ""]))


def make_df40(root: Path, write: Write = touch) -> None:
    """One name under two methods, frames/ in between, and a method with reals of its own."""
    write_all(root, write, 1, "simswap/ff/000_003/0.png simswap/cdf/id0_id1_0000/0.png")
    write_all(root, write, 1, "blendface/ff/frames/000_003/0.png blendface/ff/frames/003_000/0.png")
    write(root / "heygen" / "fake" / "a" / "0.png", 1)
    write(root / "heygen" / "real" / "a" / "0.png", 0)


def make_deepfakebench(root: Path, write: Write = touch) -> None:
    """Back slashes, a list that repeats another's reals, test as val, a set all of whose videos are in all splits."""
    frames = {
        "FF-real": r"FaceForensics++\original_sequences\youtube\c23\frames\000",
        "FF-DF": r"FaceForensics++\manipulated_sequences\Deepfakes\c23\frames\000_003",
        "FF-F2F": r"FaceForensics++\manipulated_sequences\Face2Face\c23\frames\000_003",
        "UADFV_Real": "./datasets/rgb/UADFV/real/frames/0000",
        "UADFV_Fake": "./datasets/rgb/UADFV/fake/frames/0000_fake",
        "gone": r"FaceForensics++\manipulated_sequences\Face2Face\c23\frames\003_000",
    }
    for label, folder in frames.items():
        parts = folder.replace("\\", "/").removeprefix("./datasets/rgb/")
        if label != "gone":
            write(root / "rgb" / parts / "000.png", int("real" not in label.lower()))

    def entry(label: str, folder: str = "") -> dict:
        path, separator = frames[folder or label], "\\" if "\\" in frames[folder or label] else "/"
        return {path.split(separator)[-1]: {"label": label, "frames": [f"{path}{separator}{n:03}.png" for n in (0, 5)]}}

    def splits(label: str, extra: str = "", level: bool = True) -> dict:
        videos = entry(label) | (entry(label, extra) if extra else {})
        return {split: {"c23": videos} if level else videos for split in ("test", "val")} | {"train": {}}

    lists = {
        "FaceForensics++": {label: splits(label) for label in ("FF-real", "FF-DF", "FF-F2F")},
        "FF-F2F": {"FF-real": splits("FF-real"), "FF-F2F": splits("FF-F2F", "gone")},
        "UADFV": {
            label: splits(label, level=False) | {"train": entry(label)} for label in ("UADFV_Real", "UADFV_Fake")
        },
    }
    (root / "dataset_json").mkdir(parents=True, exist_ok=True)
    for name, labels in lists.items():
        (root / "dataset_json" / f"{name}.json").write_text(json.dumps({name: labels}))


def make_gend(root: Path, write: Write = touch) -> None:
    """The lists of a checkout, with a video that is not there."""
    lists = {
        "CDFv2/test/Celeb-real.txt": (0, ["id0_0000", "id9_0000"]),
        "CDFv2/test/YouTube-real.txt": (0, ["00000"]),
        "CDFv2/test/Celeb-synthesis.txt": (1, ["id0_id1_0000"]),
        "FF/train/real.txt": (0, ["000"]),
        "FF/train/DF.txt": (1, ["000_003"]),
    }
    for file, (label, videos) in lists.items():
        set_name, _, source = file.removesuffix(".txt").split("/")
        folders = [f"datasets/{set_name}/{source}/{video}" for video in videos]
        lines = [f"{folder}/{frame}.png" for folder in folders for frame in ("000", "015")]
        for line in lines:
            if "id9" not in line:
                write(root / line, label)
        (root / "config" / "datasets" / file).parent.mkdir(parents=True, exist_ok=True)
        (root / "config" / "datasets" / file).write_text("\n".join(lines))


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
    ExampleTree(
        "dfdc",
        make_dfdc_full,
        {"aaa": 0, "aaa_x": 1, "bbb": 0, "bbb_x": 1, "aalscayrfi": 0, "aavgrzytcm": 1},
        originals={"aaa_x": "aaa", "bbb_x": "bbb"},
        splits={
            **dict.fromkeys(["aaa", "aaa_x", "bbb", "bbb_x"], "train"),
            **{"aalscayrfi": "test", "aavgrzytcm": "test"},
        },
    ),
    ExampleTree(
        "dfdc-test",
        make_dfdc_test,
        {"aalscayrfi": 0, "aavgrzytcm": 1},
        splits={"aalscayrfi": "test", "aavgrzytcm": "test"},
    ),
    ExampleTree(
        "dfdc-preview",
        make_dfdc_preview,
        {
            "original_videos_643103_643103_A_001": 0,
            **{"method_A_643103_643103_A_x_001": 1, "method_B_643103_643103_C_x_001": 1},
        },
        splits={
            "original_videos_643103_643103_A_001": "train",
            **{"method_A_643103_643103_A_x_001": "test", "method_B_643103_643103_C_x_001": "test"},
        },
        methods={"method_A_643103_643103_A_x_001": "method_A", "method_B_643103_643103_C_x_001": "method_B"},
    ),
    ExampleTree(
        "deeperforensics",
        make_deeperforensics,
        {
            **{"youtube_000": 0, "end_to_end_000_M101": 1, "reenact_postprocess_000_M101": 1},
            "end_to_end_001_M102": 1,
        },
        originals={"end_to_end_000_M101": "youtube_000", "reenact_postprocess_000_M101": "youtube_000"},
        splits={
            **dict.fromkeys(["youtube_000", "end_to_end_000_M101", "reenact_postprocess_000_M101"], "test"),
            "end_to_end_001_M102": "train",
        },
        methods={
            **{"end_to_end_000_M101": "end_to_end", "end_to_end_001_M102": "end_to_end"},
            "reenact_postprocess_000_M101": "reenact_postprocess",
        },
    ),
    ExampleTree(
        "ffiw",
        make_ffiw,
        {"source_train_0001": 0, "source_val_0001": 0, "target_train_0001": 1, "target_val_0001": 1},
        originals={"target_train_0001": "source_train_0001", "target_val_0001": "source_val_0001"},
        splits={
            **{"source_train_0001": "train", "target_train_0001": "train"},
            **{"source_val_0001": "val", "target_val_0001": "val"},
        },
    ),
    ExampleTree(
        "uadfv",
        make_uadfv,
        {"real_0000": 0, "real_0001": 0, "fake_0000_fake": 1, "fake_0002_fake": 1},
        originals={"fake_0000_fake": "real_0000"},
    ),
    ExampleTree(
        "wilddeepfake",
        make_wilddeepfake,
        {"real_train_1_real_10": 0, "real_train_1_real_11": 0, "fake_train_1_fake_10": 1, "fake_test_7": 1},
        splits={
            **dict.fromkeys(["real_train_1_real_10", "real_train_1_real_11", "fake_train_1_fake_10"], "train"),
            "fake_test_7": "test",
        },
    ),
    ExampleTree(
        "fakeavceleb",
        make_fakeavceleb,
        {
            "RealVideo-RealAudio_African_men_id00076_00109": 0,
            "RealVideo-FakeAudio_African_men_id00076_00109": 0,
            "FakeVideo-RealAudio_African_men_id00076_00109_1": 1,
            "FakeVideo-FakeAudio_African_men_id00076_00109_1_wav": 1,
        },
        originals=dict.fromkeys(
            [
                "FakeVideo-RealAudio_African_men_id00076_00109_1",
                "FakeVideo-FakeAudio_African_men_id00076_00109_1_wav",
            ],
            "RealVideo-RealAudio_African_men_id00076_00109",
        ),
        methods={
            "FakeVideo-RealAudio_African_men_id00076_00109_1": "faceswap",
            "FakeVideo-FakeAudio_African_men_id00076_00109_1_wav": "faceswap-wav2lip",
        },
    ),
    ExampleTree(
        "df40",
        make_df40,
        {
            **{"simswap_ff_000_003": 1, "simswap_cdf_id0_id1_0000": 1, "blendface_ff_000_003": 1},
            **{"blendface_ff_003_000": 1, "heygen_fake_a": 1, "heygen_real_a": 0},
        },
        methods={
            **{"simswap_ff_000_003": "simswap", "simswap_cdf_id0_id1_0000": "simswap", "heygen_fake_a": "heygen"},
            **{"blendface_ff_000_003": "blendface", "blendface_ff_003_000": "blendface"},
        },
    ),
    ExampleTree(
        "deepfakebench",
        make_deepfakebench,
        {
            **{"FF-real_c23_000": 0, "FF-DF_c23_000_003": 1, "FF-F2F_c23_000_003": 1},
            **{"UADFV_Real_0000": 0, "UADFV_Fake_0000_fake": 1},
        },
        originals={"FF-DF_c23_000_003": "FF-real_c23_000", "FF-F2F_c23_000_003": "FF-real_c23_000"},
        splits=dict.fromkeys(["FF-real_c23_000", "FF-DF_c23_000_003", "FF-F2F_c23_000_003"], "test"),
        methods={
            **{"FF-DF_c23_000_003": "Deepfakes", "FF-F2F_c23_000_003": "Face2Face"},
            "UADFV_Fake_0000_fake": "UADFV_Fake",
        },
    ),
    ExampleTree(
        "gend",
        make_gend,
        {
            **{"CDFv2_Celeb-real_id0_0000": 0, "CDFv2_YouTube-real_00000": 0, "CDFv2_Celeb-synthesis_id0_id1_0000": 1},
            **{"FF_real_000": 0, "FF_DF_000_003": 1},
        },
        originals={"CDFv2_Celeb-synthesis_id0_id1_0000": "CDFv2_Celeb-real_id0_0000", "FF_DF_000_003": "FF_real_000"},
        splits={
            **{"CDFv2_Celeb-real_id0_0000": "test", "CDFv2_YouTube-real_00000": "test"},
            **{"CDFv2_Celeb-synthesis_id0_id1_0000": "test", "FF_real_000": "train", "FF_DF_000_003": "train"},
        },
        methods={"CDFv2_Celeb-synthesis_id0_id1_0000": "Celeb-synthesis", "FF_DF_000_003": "DF"},
    ),
]

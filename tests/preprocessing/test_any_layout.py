"""Data sets of other layouts than DFDC's, with real clips, through the steps."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deepfake.datasets.data_root import DataRoot
from deepfake.datasets.folds import read_folds
from deepfake.media.images import write_image
from deepfake.synthesis.portraits import PERSONS, read_portrait
from preprocessing import generate_folds, preprocess_videos, status
from tests.data.clips import draw
from tests.data.dataset_trees import Write, make_celeb_df, make_celeb_df_pp, make_ffiw, make_ffpp, make_ffpp_kaggle

SIDE = 256


@pytest.fixture(scope="session")
def faces(tmp_path_factory) -> Path:
    """A clip of two frames and a picture for each label: a real face, and the same with other colors."""
    folder = tmp_path_factory.mktemp("faces")
    for label, color in enumerate((1.0, 0.8)):
        picture = (read_portrait(PERSONS[0])[:SIDE, 96 : 96 + SIDE] * color).astype(np.uint8)
        draw(folder / f"{label}.mp4", np.stack([picture] * 2))
        write_image(folder / f"{label}.png", picture)
    return folder


@pytest.fixture
def write(faces) -> Write:
    def copy(path: Path, label: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        suffix = ".mp4" if path.suffix in (".mp4", ".avi") else ".png"
        shutil.copy(faces / f"{label}{suffix}", path)

    return copy


@pytest.fixture
def run(monkeypatch) -> Callable[..., int]:
    """`run(step, root, ...)`: a step's main in this process, with one worker."""

    def run_step(step, root: Path, *arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", [step.__name__, "--root-dir", str(root), *arguments])
        return step.main()

    return run_step


def files(root: Path) -> set[Path]:
    return {path.relative_to(root) for path in root.rglob("*")}


def test_outputs_go_elsewhere_where_the_set_stays_as_it_is(tmp_path, write, run, capsys):
    root, out = tmp_path / "set", tmp_path / "out"
    make_ffpp(root, write)
    before = files(root)
    chosen = ["--methods", "Deepfakes", "--compression", "c23", "--out-root", str(out)]
    assert run(preprocess_videos, root, *chosen, "--workers", "1") == 0
    assert "layout ff++, recognized by" in capsys.readouterr().err
    assert run(generate_folds, root, *chosen, "--split-by", "original", "--n-splits", "2") == 0
    assert files(root) == before
    crops = {folder.name for folder in DataRoot(out).crops.iterdir()}
    assert crops and all("c23" in name for name in crops)
    assert any(name.startswith("Deepfakes") for name in crops)
    assert DataRoot(out).folds_csv.is_file()
    assert run(status, root, *chosen) == 0
    assert run(status, root, "--out-root", str(out)) == 3  # all of the data set, most of it not done


@pytest.mark.parametrize(
    ("make", "arguments", "taken", "warned"),
    [(make_ffiw, [], "split by official", ""), (make_celeb_df_pp, [], "split by official", "in test and train"),
     (make_celeb_df, ["--split-by", "original"], "", ""), (make_ffpp_kaggle, [], "split by original", "")],
)  # fmt: skip
def test_how_a_data_set_is_split_is_said(tmp_path, run, capsys, make, arguments, taken, warned):
    make(tmp_path)
    assert run(generate_folds, tmp_path, "--check", *arguments) == 0
    said = capsys.readouterr().err
    assert taken in said and warned in said
    assert bool(taken) == ("split by " in said)


def test_official_folds_have_crops_of_train_and_val_alone(tmp_path, write, run):
    make_ffiw(tmp_path, write)
    assert run(preprocess_videos, tmp_path, "--workers", "1") == 0
    assert run(generate_folds, tmp_path) == 0
    table = read_folds(tmp_path / "folds.csv")
    folds = dict(zip(table["video"], table["fold"]))
    assert folds == {"source_train_0001": 1, "target_train_0001": 1, "source_val_0001": 0, "target_val_0001": 0}
    assert set(table["label"]) == {0, 1}

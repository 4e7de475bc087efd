"""A data set of each layout, from its files to a trained network and an evaluation page."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import evaluate
from deepfake.datasets.data_root import DataRoot
from deepfake.datasets.folds import read_folds
from deepfake.datasets.label_words import TEST, TRAIN, VAL
from deepfake.evaluation.evaluating import read_evaluation
from tests.data.steps import run_here
from tests.data.trainable_trees import TRAINABLE, TrainableTree
from tests.data.training_sets import TINY
from training.options import RunOptions
from training.tasks.classifier import run_classifier

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]

AS_A_COMMAND = ("make_celeb_df", "make_ffiw")
"""Those that preprocess_data.sh preprocesses; for the others its steps run in this process, which saves time."""


def preprocess(tree: TrainableTree, root: Path, out: Path) -> None:
    same = ("--root-dir", root, "--out-root", out)
    for step, arguments in (("preprocess_videos", ("--workers", "1")), ("generate_folds", tree.folds)):
        done = run_here(step, *same, *arguments)
        assert done.returncode == 0, done.stderr


def preprocess_as_a_command(tree: TrainableTree, root: Path, out: Path, project_root: Path) -> None:
    given = {"PYTHON": sys.executable, "WORKERS": "1", "OUT": str(out), "FOLDS_ARGS": " ".join(tree.folds)}
    command = ["bash", "preprocess_data.sh", str(root)]
    done = subprocess.run(command, cwd=project_root, env={**os.environ, **given}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def train(out: Path) -> Path:
    """One step of a small network, with fold 0 held out: its checkpoint."""
    config = out / "tiny.json"
    config.write_text(json.dumps({**TINY, "optimizer": {**TINY["optimizer"], "batch_size": 2}}))
    run_classifier(RunOptions(config, out, output_dir=out, logdir=out / "logs", device="cpu", epochs=1, prefix=""))
    (checkpoint,) = out.glob("*_last")
    return checkpoint


def check_outputs(folder: Path, labels: dict[str, int]) -> None:
    """Each video is there once with its label: in the JSON file, the tables and the page."""
    found = read_evaluation(folder / evaluate.EVALUATION_JSON)
    assert {video.video_id: video.label for video in found.videos} == labels
    assert (found.cells[0].reals, found.cells[0].fakes) == tuple(list(labels.values()).count(n) for n in (0, 1))
    with (folder / "videos.csv").open(newline="") as file:
        assert {row["video_id"]: int(row["label"]) for row in csv.DictReader(file)} == labels
    with (folder / "cells.csv").open(newline="") as file:
        overall = next(csv.DictReader(file))
    assert (int(overall["reals"]), int(overall["fakes"])) == (found.cells[0].reals, found.cells[0].fakes)
    page = (folder / "index.html").read_text()
    assert all(video.name in page for video in found.videos)


@pytest.mark.parametrize("name", TRAINABLE)
def test_a_data_set_is_preprocessed_trained_on_and_evaluated(name, write_faces, tmp_path, run_main, project_root):
    tree, root, out = TRAINABLE[name], tmp_path / "set", tmp_path / "out"
    tree.make(root, write_faces)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    if name in AS_A_COMMAND:
        preprocess_as_a_command(tree, root, out, project_root)
    else:
        preprocess(tree, root, out)
    labels, splits = tree.labels, tree.splits
    folds = read_folds(DataRoot(out).folds_csv)
    assert {video: labels[video] for video in folds["video"]} == dict(zip(folds["video"], folds["label"]))
    official = {video for video, split in splits.items() if split in (TRAIN, VAL)}
    assert set(folds["video"]) == (official or set(labels))

    checkpoint = train(out)
    test = {video: labels[video] for video, split in splits.items() if split == TEST}
    words = [root, *(["--split", TEST] if test else []), "--models", checkpoint.name, "--weights-dir", out]
    words += ["--out", out / "evaluation", "--workers", "1", "--device", "cpu", "--precision", "float32"]
    code, _, err = run_main(evaluate.main, *words, "--bootstrap", "5")
    assert code == 0, err
    check_outputs(out / "evaluation", test or labels)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before

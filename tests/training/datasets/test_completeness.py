"""Training without landmarks or masks says so, or ends where the recipe needs them."""

import dataclasses
import json
import logging
import shutil

import pytest

from tests.data.sharding import pack
from tests.data.training_sets import TINY
from training.datasets import completeness
from training.options import RunOptions
from training.tasks.classifier import run_classifier

pytestmark = pytest.mark.usefixtures("one_thread")

CROPS, FAKES = 16, 8
"""Crops of the folds that are trained on, and the fakes among them."""


@pytest.fixture
def options(data_root, tiny_config, tmp_path) -> RunOptions:
    return RunOptions(
        tiny_config, data_root, output_dir=tmp_path / "out", logdir=tmp_path / "logs", device="cpu", epochs=1
    )


def warnings(caplog) -> list[str]:
    records = [record for record in caplog.records if record.name == completeness.__name__]
    assert {record.levelno for record in records} <= {logging.WARNING}
    return [record.getMessage() for record in records]


def test_complete_data_gives_no_warning(options, caplog):
    run_classifier(dataclasses.replace(options, only_changed_frames=True))
    assert warnings(caplog) == []


@pytest.mark.parametrize(("hardcore", "found"), [(True, 1), (False, 0)])
def test_missing_landmarks_are_counted(options, data_root, caplog, hardcore, found):
    for file in (data_root / "landmarks" / "r1").iterdir():
        file.unlink()
    run_classifier(dataclasses.replace(options, hardcore=hardcore))
    assert len(warnings(caplog)) == found
    if hardcore:
        (warning,) = warnings(caplog)
        assert f"8 of {CROPS} crops" in warning and "generate_landmarks.py" in warning


@pytest.mark.parametrize("only_changed", [False, True])
def test_missing_masks_are_counted(options, data_root, caplog, only_changed):
    shutil.rmtree(data_root / "diffs" / "f1")
    run_classifier(dataclasses.replace(options, only_changed_frames=only_changed))
    (warning,) = warnings(caplog)
    assert f"4 of {FAKES} fakes' crops" in warning and "generate_diffs.py" in warning
    assert ("drop out of the loss" in warning) == only_changed


def test_no_landmarks_at_all(options, data_root):
    shutil.rmtree(data_root / "landmarks")
    with pytest.raises(
        ValueError, match=rf"folds\.csv: {CROPS} of {CROPS} .*generate_landmarks\.py, or .*--no-hardcore"
    ):
        run_classifier(options)
    run_classifier(dataclasses.replace(options, hardcore=False))


def test_no_masks_at_all(options, data_root, caplog):
    shutil.rmtree(data_root / "diffs")
    with pytest.raises(ValueError, match=rf"{FAKES} of {FAKES} fakes' crops .*; run .*generate_diffs\.py"):
        run_classifier(dataclasses.replace(options, only_changed_frames=True))
    run_classifier(options)
    assert f"{FAKES} of {FAKES} fakes' crops" in "".join(warnings(caplog))


def test_fakes_without_an_original_are_no_reason_to_run_the_step_again(options, data_root, caplog):
    shutil.rmtree(data_root / "diffs" / "f1")
    table = data_root / "folds.csv"
    table.write_text(table.read_text().replace(",1,r1,", ",1,f1,"))
    run_classifier(dataclasses.replace(options, hardcore=False, only_changed_frames=True))
    (warning,) = warnings(caplog)
    assert f"4 of {FAKES} fakes' crops" in warning and "4 are of fakes whose original is not known" in warning
    assert "; run " not in warning


def test_shards_without_masks(options, data_root, tmp_path):
    shutil.rmtree(data_root / "diffs")
    assert pack(data_root, tmp_path / "shards").returncode == 0
    with pytest.raises(ValueError, match=rf"{FAKES} of {FAKES} fakes' crops"):
        run_classifier(dataclasses.replace(options, data_dir=tmp_path / "shards", only_changed_frames=True))


def test_schedule_that_ends_too_early(options, tiny_config):
    schedule = {**TINY["optimizer"]["schedule"], "params": {"max_iter": 8}}
    tiny_config.write_text(json.dumps({**TINY, "optimizer": {**TINY["optimizer"], "schedule": schedule}}))
    with pytest.raises(ValueError, match=r"tiny\.json: .*max_iter: .* 0 after 8 steps; expected 9 or more"):
        run_classifier(dataclasses.replace(options, epochs=None))
    run_classifier(dataclasses.replace(options, epochs=2))

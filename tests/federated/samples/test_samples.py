"""Data samples: written, read, and refused when they are not what they say."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deepfake.datasets.folds import read_folds
from federated.generate_data_samples import main as generate_main
from federated.samples.fake_data import fake_data
from federated.samples.samples import SAMPLE_JSON, SampleError, open_samples
from tests.data.federated_runs import generate
from training.datasets.crop_reading import FolderCrops, as_rows
from training.datasets.crops import SampleOptions, TrainingCrops

pytestmark = pytest.mark.federated


@pytest.fixture
def train(owners: Path, tmp_path: Path) -> Path:
    """An owner's sample of one's own, to break."""
    return Path(shutil.copytree(owners / "owner1" / "train", tmp_path / "train"))


def redescribe(folder: Path, **changes) -> None:
    path = folder / SAMPLE_JSON
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def change_table(folder: Path, change) -> None:
    table = read_folds(folder / "folds.csv")
    change(table).to_csv(folder / "folds.csv", index=False)


def test_samples_hold_the_data_sets_rows_and_read_its_files(federated_root, owners, opened):
    table = read_folds(federated_root / "folds.csv")
    rows = pd.concat([data.table for of_owner in opened.values() for data in of_owner.values()])
    key = ["video", "file"]
    assert rows.sort_values(key).to_numpy().tolist() == table.sort_values(key).to_numpy().tolist()
    data = opened["owner1"]["train"]
    row = as_rows(data.table)[0]
    direct = FolderCrops(type("Layout", (), {n: federated_root / n for n in ("crops", "landmarks", "diffs")})())
    np.testing.assert_array_equal(data.crops.image(row), direct.image(row))
    np.testing.assert_array_equal(data.crops.mask(row, (80, 80)), direct.mask(row, (80, 80)))
    np.testing.assert_array_equal(data.crops.points(row), direct.points(row))
    assert len(opened["owner1"]["train"].table) > len(opened["owner2"]["train"].table)


def test_pooled_samples_are_the_owners_together(owners, opened):
    pooled = open_samples([owners / "owner1" / "train", owners / "owner2" / "train"])
    assert pooled.owner == "owner1+owner2"
    assert len(pooled.table) == sum(len(of_owner["train"].table) for of_owner in opened.values())
    assert pooled.crops.image(as_rows(pooled.table)[-1]).shape == (80, 80, 3)
    rows = pooled.table.sample(frac=1, random_state=0)  # of several owners, in any order
    assert pooled.crops.has_points(rows).all()
    np.testing.assert_array_equal(pooled.crops.has_mask(rows), rows.label == 1)


def test_samples_that_travel_need_nothing_else(federated_root, tmp_path):
    root = Path(shutil.copytree(federated_root, tmp_path / "data"))
    generate(root, tmp_path / "out", "--copy")
    shutil.rmtree(root)
    data = open_samples([tmp_path / "out" / "owner2" / "train"])
    for row in as_rows(data.table):
        assert data.crops.image(row).shape == (80, 80, 3)
        assert data.crops.points(row) is not None
        assert data.crops.mask(row, (80, 80)).any() == bool(row.label)
    assert "the sample's own folder" in (tmp_path / "out" / "owner2" / "description.md").read_text()


def test_the_description_tells_counts_and_structure(federated_root, owners):
    text = (owners / "owner1" / "description.md").read_text()
    table = read_folds(owners / "owner1" / "train" / "folds.csv")
    originals, videos = table["original"].nunique(), table["video"].nunique()
    assert f"| train | {originals} | {videos} | {len(table)} | {len(table) // 2} | {len(table) // 2} |" in text
    assert str(federated_root) in text and "`crops/VIDEO/FILE.png`" in text


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda f: redescribe(f, crops=7), "crops, but its description says 7"),
        (lambda f: redescribe(f, videos=1), "videos, but its description says 1"),
        (lambda f: redescribe(f, format=99), "format: expected 1; found 99"),
        (lambda f: redescribe(f, surprise=1), "surprise: expected one of the keys owner, kind, root"),
        (lambda f: redescribe(f, kind="validate"), "expected train or test"),
        (lambda f: redescribe(f, owner="../owner"), "'../owner' is not a plain name"),
        (lambda f: redescribe(f, crops_dir="/etc"), "'/etc' is not a plain name"),
        (lambda f: redescribe(f, root="/nowhere"), "no such file; is /nowhere where it was"),
        (lambda f: (f / SAMPLE_JSON).write_text("{"), "not JSON"),
        (lambda f: (f / SAMPLE_JSON).unlink(), "no readable description"),
        (lambda f: (f / "folds.csv").unlink(), "not a fold table"),
        (lambda f: change_table(f, lambda t: t.iloc[:-1]), "but its description says"),
        (lambda f: change_table(f, lambda t: t.replace("10_0.png", "../../10_0.png")), "does not name a crop"),
    ],
)
def test_a_sample_that_is_not_what_it_says_is_refused(train, break_it, message):
    open_samples([train])
    break_it(train)
    with pytest.raises(SampleError, match=message):
        open_samples([train])


def one_class(folder: Path, label: int) -> None:
    change_table(folder, lambda t: t[t["label"] == label])
    table = read_folds(folder / "folds.csv")
    reals = int((table["label"] == 0).sum())
    redescribe(
        folder, crops=len(table), videos=table["video"].nunique(), real_crops=reals, fake_crops=len(table) - reals
    )


@pytest.mark.parametrize(("label", "there", "missing"), [(0, "real", "fake"), (1, "fake", "real")])
def test_an_owner_with_one_class_is_refused(train, label, there, missing):
    one_class(train, label)
    with pytest.raises(SampleError, match=f"owner1: only {there} videos to train with.*Give owner1 {missing} ones"):
        open_samples([train])


def test_an_owner_without_faces_is_refused(train):
    change_table(train, lambda t: t.iloc[:0])
    redescribe(train, crops=0, videos=0, real_crops=0, fake_crops=0, originals=0)
    with pytest.raises(SampleError, match="owner1 has no faces to train with"):
        open_samples([train])


def test_samples_that_do_not_go_together_are_refused(train, owners):
    with pytest.raises(SampleError, match=r"to test with, and .* to train"):
        open_samples([train, owners / "owner2" / "test"])
    with pytest.raises(SampleError, match="is in another sample, too"):
        open_samples([train, owners / "owner1" / "train"])
    redescribe(train, detection={"preset": "other"})
    with pytest.raises(SampleError, match="found with other settings"):
        open_samples([train, owners / "owner2" / "train"])


def test_nothing_is_written_if_an_owner_cannot_be_served(federated_root, tmp_path, run_main):
    root = Path(shutil.copytree(federated_root, tmp_path / "data"))
    for folder in (root / "crops").glob("f1*"):
        shutil.rmtree(folder)
    code, _, err = run_main(generate_main, "--root-dir", root, "--out", tmp_path / "out")
    assert code == 2 and "no such file" in err
    assert not (tmp_path / "out").exists()


def test_more_owners_than_originals_are_reported(federated_root, tmp_path, run_main):
    code, _, err = run_main(generate_main, "--root-dir", federated_root, "--owners", 9, "--out", tmp_path / "out")
    assert code == 2 and "fewer owners, another --fold" in err


def test_data_of_noise_trains():
    data = fake_data(3)
    assert set(data.table["label"]) == {0, 1} and data.table["original"].nunique() == 3
    samples = TrainingCrops(data.table, np.arange(4), data.crops, 64, SampleOptions(), seed=1, epoch=0)
    assert samples[0] is not None
    row = as_rows(data.table)[0]
    np.testing.assert_array_equal(data.crops.image(row), data.crops.image(row))

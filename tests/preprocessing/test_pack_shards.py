"""Packing: the command on real pictures, killed runs, WebDataset's own reader."""

import io
import json

import numpy as np
import pandas as pd
import pytest
import webdataset

from deepfake.datasets.folds import read_folds
from deepfake.datasets.shards import INDEX_CSV, SHARDS_JSON
from deepfake.storage.atomic import PARTIAL_PREFIX
from tests.data.sharding import pack
from tests.data.training_sets import make_data_root


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_data_root(tmp_path_factory.mktemp("packing") / "data")


@pytest.fixture(scope="module")
def packed(root, tmp_path_factory):
    out = tmp_path_factory.mktemp("packed") / "shards"
    done = pack(root, out, "--shard-samples", 6)
    assert done.returncode == 0, done.stderr
    return out


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_shard_has_one_fold_and_its_share_of_reals_and_fakes(packed, root):
    index = pd.read_csv(packed / INDEX_CSV)
    table = read_folds(root / "folds.csv")
    assert (index[list(table.columns)] == table).all().all(), "the fold table, in its order"
    assert index.groupby("shard")["fold"].nunique().tolist() == [1] * 6
    counts = index.groupby(["shard", "label"]).size().unstack()
    assert counts.to_numpy().min() >= 2 and counts.to_numpy().max() <= 3
    assert index["shard"].value_counts().max() <= 6
    mixed = index.groupby("shard")["video"].nunique()
    assert mixed.min() > 2, "drawn from many videos"


def test_webdataset_reads_what_was_packed(packed, root):
    shards = sorted(str(path) for path in packed.glob("*.tar"))
    samples = list(webdataset.WebDataset(shards, shardshuffle=False))
    assert len(samples) == len(read_folds(root / "folds.csv"))
    for sample in samples:
        row = json.loads(sample["json"])
        stem = row["file"].removesuffix(".png")
        assert sample["__key__"] == f"{row['video']}/{stem}"
        assert sample["png"] == (root / "crops" / row["video"] / row["file"]).read_bytes()
        assert np.load(io.BytesIO(sample["landmarks.npy"]), allow_pickle=False).shape == (5, 2)
        assert ("mask.png" in sample) == (row["label"] == 1)


def test_a_killed_run_continues_to_the_same_bytes(packed, root, tmp_path):
    out = tmp_path / "again"
    out.mkdir()
    first, *_, last = sorted(packed.glob("*.tar"))
    for name in (first.name, "packing.json"):
        (out / name).write_bytes((packed / name).read_bytes())
    (out / f"{PARTIAL_PREFIX}{last.name}").write_bytes(last.read_bytes()[:3000])
    kept = (out / first.name).stat().st_mtime_ns
    done = pack(root, out, "--shard-samples", 6)
    assert done.returncode == 0 and "5 done, 1 skipped" in done.stdout
    assert contents(out) == contents(packed)
    assert (out / first.name).stat().st_mtime_ns == kept
    over = pack(root, out, "--shard-samples", 6, "--overwrite")
    assert over.returncode == 0 and "6 done, 0 skipped" in over.stdout
    assert contents(out) == contents(packed)


def test_other_options_are_refused_and_a_cut_shard_is_reported(packed, root, tmp_path):
    other = pack(root, packed, "--shard-samples", 7)
    assert other.returncode == 2 and "another fold table or options" in other.stderr
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "mine.tar").touch()
    assert pack(root, foreign, "--overwrite").returncode == 2 and (foreign / "mine.tar").exists()
    out = tmp_path / "cut"
    out.mkdir()
    for name, data in contents(packed).items():
        (out / name).write_bytes(data[:-900] if name == "fold01_00001.tar" else data)
    done = pack(root, out, "--shard-samples", 6)
    assert done.returncode == 2 and "fold01_00001.tar: not a whole shard" in done.stderr


def test_missing_crops_are_left_out_and_listed(tmp_path):
    root, out = make_data_root(tmp_path / "data", identities=2), tmp_path / "out"
    (root / "crops" / "f0" / "10_0.png").unlink()
    done = pack(root, out)
    assert done.returncode == 3 and "f0: 1 crops of the fold table are missing" in done.stderr
    assert len(pd.read_csv(out / INDEX_CSV)) == 15
    assert json.loads((out / SHARDS_JSON).read_text())["shards"][0]["samples"] == 7


def test_names_that_leave_the_data_root_are_refused(tmp_path):
    root, out = make_data_root(tmp_path / "data", identities=2), tmp_path / "out"
    table = (root / "folds.csv").read_text().replace("f0,10_0.png", "../crops/f0,10_0.png")
    (root / "folds.csv").write_text(table)
    done = pack(root, out)
    assert done.returncode == 2 and "does not name a crop" in done.stderr and not out.exists()

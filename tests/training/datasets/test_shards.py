"""Training on shards: the folder's samples, shards of its own for each rank, any place in an epoch; HTTP and S3."""

import dataclasses
import os
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from deepfake.checkpoints.checkpoint import read_checkpoint
from deepfake.datasets.data_root import DataRoot
from deepfake.datasets.folds import read_folds
from deepfake.datasets.shards import ShardError
from tests.data.sharding import pack, serve
from training.datasets.crop_data import open_data, open_shards
from training.datasets.crop_reading import FolderCrops
from training.datasets.crops import SampleOptions, TrainingCrops
from training.datasets.loading import make_loader, training_positions
from training.datasets.sampling import training_rows, validation_rows
from training.datasets.shard_sampling import (
    WINDOW,
    deal_shards,
    sharded_rows,
    sharded_samples,
    sharded_validation_positions,
    shares,
)
from training.options import RunOptions
from training.tasks.classifier import run_classifier

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]


@pytest.fixture(scope="module")
def packed(shared_data_root, tmp_path_factory):
    out = tmp_path_factory.mktemp("packed") / "shards"
    done = pack(shared_data_root, out, "--shard-samples", 4)
    assert done.returncode == 0, done.stderr
    return out


def table(shards=40, reals=5, fakes=20) -> pd.DataFrame:
    """An index without files: fold 0 has a quarter of the shards."""
    rows = [
        (f"{'rf'[label]}{shard}_{n}", "0_0.png", label, "o", 0, shard % 4, f"s{shard:03d}.tar")
        for shard in range(shards) for label, count in ((0, reals), (1, fakes)) for n in range(count)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["video", "file", "label", "original", "frame", "fold", "shard"])


def keys(rows):
    return list(zip(rows["video"], rows["file"]))


def epoch_rows(index, ranks, epoch=0, batch=5, oversample=True):
    dealt = shares(index, 0, ranks)
    samples = sharded_samples(dealt, 0, 7, oversample)
    steps = samples // (batch * ranks)
    return sharded_rows(dealt, 0, epoch, 7, oversample, steps, batch), steps


def test_one_rank_has_the_folders_samples(packed, shared_data_root):
    """Of few shards in the folder's order, too."""
    few, many = open_shards(packed).table, table(shards=16)
    for index, folds in ((few, read_folds(shared_data_root / "folds.csv")), (many, many.drop(columns="shard"))):
        for oversample in (True, False):
            for epoch in (0, 3):
                folder = training_rows(folds, 0, epoch, 7, oversample)
                rows = sharded_rows(shares(index, 0, 1), 0, epoch, 7, oversample, len(folder), 1)
                assert sorted(keys(rows)) == sorted(keys(folder))
                assert (keys(rows) == keys(folder)) == (index is few)
        folder, rows = validation_rows(folds, 0), validation_rows(index, 0)
        assert keys(rows.iloc[sharded_validation_positions(rows, 0, 1)]) == keys(folder)


def test_files_are_read_alike_from_folder_and_shards(packed, shared_data_root):
    data, folder = open_shards(packed), FolderCrops(DataRoot(shared_data_root))
    masks = 0
    for row in data.table.itertuples(index=False):
        image = folder.image(row)
        assert (data.crops.image(row) == image).all()
        assert (data.crops.points(row) == folder.points(row)).all()
        mask = folder.mask(row, image.shape[:2])
        assert (data.crops.mask(row, image.shape[:2]) == mask).all()
        masks += mask.any()
    assert masks == 16
    same = training_rows(data.table, 0, 0, 7)
    for crops in (data.crops, folder):
        part = TrainingCrops(same, np.arange(6), crops, 48, SampleOptions(only_changed=True), 7, 0)
        found = [part[i] for i in range(6)]
        if crops is data.crops:
            expected = found
    for a, b in zip(expected, found):
        assert (a.image == b.image).all() and (a.label, a.valid, a.occlusion) == (b.label, b.valid, b.occlusion)


@pytest.mark.parametrize("ranks", [1, 2, 3, 7])
def test_each_rank_has_shards_of_its_own_and_the_balance_of_a_folder(ranks):
    index = table()
    rows, steps = epoch_rows(index, ranks)
    assert len(set(keys(rows))) == len(rows) == steps * 5 * ranks
    assert 0 not in set(rows["fold"])
    reals, fakes = ((rows["label"] == label).sum() for label in (0, 1))
    assert abs(reals - fakes) < 0.06 * len(rows) + 5 * ranks, "what does not fill a batch is left out"
    used = []
    for rank in range(ranks):
        own = rows.iloc[training_positions(len(rows), steps, 5, rank, ranks)]
        used.append(set(own["shard"]))
        assert len(own) == steps * 5
    assert sum(map(len, used)) == len(set().union(*used)) == 30, "every shard is one rank's"
    again, _ = epoch_rows(index, ranks)
    assert keys(again) == keys(rows)
    later, _ = epoch_rows(index, ranks, epoch=1)
    assert set(keys(later)) != set(keys(rows)), "other fakes"


def test_all_reals_and_as_many_fakes_when_batches_come_out_even():
    rows, _ = epoch_rows(table(), 3, batch=1)
    assert (rows["label"] == 0).sum() == (rows["label"] == 1).sum() == 150
    everything, _ = epoch_rows(table(), 3, batch=1, oversample=False)
    assert len(everything) == 30 * 25


def test_few_shards_are_in_use_at_a_time():
    rows, _ = epoch_rows(table(shards=80), 1, batch=1)
    shards = rows["shard"].to_numpy()
    first = {shard: np.flatnonzero(shards == shard)[0] for shard in set(shards)}
    last = {shard: np.flatnonzero(shards == shard)[-1] for shard in set(shards)}
    in_use = [sum(first[s] <= n <= last[s] for s in first) for n in range(len(shards))]
    assert max(in_use) <= WINDOW < 60
    mixed = [len(set(shards[n : n + 40])) for n in range(100, 400, 40)]
    assert min(mixed) >= WINDOW - 2
    assert 0.3 < np.mean([rows["label"].iloc[n : n + 40].mean() for n in range(0, 400, 40)]) < 0.7


def test_validation_rows_are_each_one_ranks():
    index = table(shards=12)
    rows = validation_rows(index, 0)
    for ranks in (1, 2, 5):
        positions = [sharded_validation_positions(rows, rank, ranks) for rank in range(ranks)]
        assert sorted(np.concatenate(positions)) == list(range(len(rows)))
        owners = [set(rows["shard"].iloc[own]) for own in positions]
        assert sum(map(len, owners)) == 3
    assert deal_shards(index, 4).value_counts().tolist() == [3] * 4


def test_too_few_shards_for_the_ranks_are_reported():
    with pytest.raises(ShardError, match=r"3 shards to train on for 4 processes.*--shard-samples"):
        shares(table(shards=4), 0, 4)


def test_a_resumed_rank_reads_nothing_of_before_and_nothing_of_others(packed, tmp_path):
    with serve(packed) as (url, requests):
        data = open_data(url, None, "crops", tmp_path / "cache", 1)
        dealt = shares(data.table, 0, 2)
        rows = sharded_rows(dealt, 0, 0, 7, True, 4, 2)
        positions = training_positions(len(rows), 4, 2, 1, 2)
        whole = TrainingCrops(
            rows, positions, open_data(packed, None, "crops", None, 1).crops, 48, SampleOptions(), 7, 0
        )
        rest = TrainingCrops(rows, positions[5:], data.crops, 48, SampleOptions(), 7, 0)
        assert {name for _, name in requests} == {"shards.json", "index.csv"}, "nothing before the first sample"
        for batch in make_loader(rest, 2, workers=2, pin_memory=False):
            for image, index, name in zip(batch.images, batch.index.tolist(), batch.names):
                expected = whole[positions.tolist().index(index)]
                assert (image.permute(1, 2, 0).numpy() == expected.image).all() and name == expected.name
        asked = {name for _, name in requests if name.endswith(".tar")}
        assert asked == set(rows["shard"].iloc[positions[5:]]) < set(rows["shard"])


@pytest.fixture
def options(tiny_config, tmp_path):
    def make(data, name, **changes):
        out = tmp_path / name
        base = RunOptions(tiny_config, data, prefix="p_", output_dir=out, logdir=out / "logs", epochs=1, device="cpu",
                          cache_dir=tmp_path / "cache")  # fmt: skip
        return dataclasses.replace(base, **changes)

    return make


def weights(options):
    (last,) = options.output_dir.glob("*_last")
    return read_checkpoint(last).state_dict


def same(first, second):
    return all(torch.equal(weights(first)[key], value) for key, value in weights(second).items())


@pytest.fixture
def bucket(packed, monkeypatch):
    """An S3 server on this machine, the shards in a bucket of it."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in (("ACCESS_KEY_ID", "k"), ("SECRET_ACCESS_KEY", "s"), ("DEFAULT_REGION", "us-east-1"),
                        ("ENDPOINT_URL", f"http://{host}:{port}")):  # fmt: skip
        monkeypatch.setenv(f"AWS_{name}", value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="crops")
    for path in packed.iterdir():
        client.put_object(Bucket="crops", Key=f"packed/{path.name}", Body=path.read_bytes())
    yield "s3://crops/packed"
    server.stop()


def test_training_from_s3_and_http_is_training_from_the_folder(shared_data_root, packed, bucket, options):
    folder, here = options(shared_data_root, "folder"), options(packed, "here")
    there = options(bucket, "s3", workers=2)
    for each in (folder, here, there):
        run_classifier(each)
    assert same(folder, here) and same(here, there)
    with serve(packed) as (url, _):
        web = options(f"{url}/fold0[01]_*.tar", "web")
        run_classifier(web)
    assert same(here, web)


def test_what_cannot_be_read_is_reported(packed, options, tmp_path):
    with serve(packed) as (url, _):
        for changes, message in (
            ({"cache_gib": 1e-6}, r"--cache-gib 1e-06: 9 shards of .* have to find room"),
            ({"folds_csv": tmp_path / "f.csv"}, "--folds-csv: .* holds shards, which have a table of their own"),
            ({"data_dir": f"{url}/none"}, rf"{url}/none/shards\.json: cannot be read"),
            ({"data_dir": f"{url}/fold00_*.tar"}, "no real crops to train on with fold 0|no real crops to validate"),
        ):
            with pytest.raises(ValueError, match=message):
                run_classifier(options(url, "bad", **changes))
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in Path(packed).iterdir():
        (broken / path.name).write_bytes(path.read_bytes()[: -100 if path.suffix == ".tar" else None])
    with pytest.raises(ValueError, match=r"fold0\d_0000\d\.tar: has \d+ bytes; shards\.json says"):
        run_classifier(options(broken, "broken_run"))


@pytest.mark.parametrize(("given", "handed_on"), [("s3://b/packed", "s3://b/packed"), ("/a/../b", "/b")])
def test_train_sh_hands_urls_on(project_root, tmp_path, given, handed_on):
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$@"\n')
    python.chmod(0o755)
    folders = {"WEIGHTS_DIR": str(tmp_path), "LOGS_DIR": str(tmp_path)}
    environment = {**os.environ, **folders, "PYTHON": str(python), "SEEDS": "1"}
    command = ["bash", str(project_root / "train.sh"), given, "0"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert f"--data-dir {handed_on} " in done.stdout

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deepfake.datasets.data_root import DataRoot
from deepfake.datasets.folds import CropFiles, read_folds
from deepfake.media.images import read_image
from training.datasets.batch import collate
from training.datasets.crop_reading import FolderCrops
from training.datasets.crops import SampleOptions, TrainingCrops, ValidationCrops
from training.datasets.loading import make_loader, training_positions, validation_positions
from training.datasets.sampling import training_rows, validation_rows

PLAIN = SampleOptions(hardcore=False)


def crops(root, options=PLAIN, epoch=0, positions=None):
    rows = training_rows(read_folds(root / "folds.csv"), 1, epoch, 777)
    positions = np.arange(len(rows)) if positions is None else positions
    return TrainingCrops(rows, positions, FolderCrops(DataRoot(root)), 64, options, 777, epoch)


def test_files_of_a_row(shared_data_root):
    table = read_folds(shared_data_root / "folds.csv")
    layout = DataRoot(shared_data_root)
    row = next(r for r in table.itertuples() if r.video == "f2")
    files = CropFiles.of(layout, row)
    assert files.crop.is_file() and files.landmarks.is_file() and files.diff.is_file()
    assert (files.landmarks.parent.name, files.diff.parent.name) == ("r2", "f2")
    outside = table.iloc[[0]].assign(video="..")
    with pytest.raises(ValueError, match="does not name a crop"):
        CropFiles.of(layout, next(outside.itertuples()))


def test_labels_are_smoothed(shared_data_root):
    data = crops(shared_data_root)
    rows = training_rows(read_folds(shared_data_root / "folds.csv"), 1, 0, 777)
    labels = [data[i].label for i in range(len(data))]
    assert labels == [{0: 0.01, 1: 0.99}[label] for label in rows["label"]]
    assert crops(shared_data_root, replace(PLAIN, label_smoothing=0.0))[0].label in (0.0, 1.0)


def test_a_sample_depends_on_seed_epoch_and_position_only(shared_data_root):
    options = SampleOptions()
    whole = crops(shared_data_root, options)
    part = crops(shared_data_root, options, positions=np.array([9, 4]))
    whole[0]
    for i, position in ((0, 9), (1, 4)):
        assert part[i].index == position and part[i].name == whole[position].name
        assert (part[i].image == whole[position].image).all()
    later = crops(shared_data_root, options, epoch=1)
    same = [
        (a, b) for a in map(whole.__getitem__, range(8)) for b in map(later.__getitem__, range(8)) if a.name == b.name
    ]
    assert same and all((a.image != b.image).any() for a, b in same)


def test_hardcore_blacks_parts_out(shared_data_root):
    def black(options):
        epochs = [crops(shared_data_root, options, epoch) for epoch in range(6)]
        return np.mean([(data[i].image.max(axis=2) < 16).mean() for data in epochs for i in range(len(data))])

    assert black(SampleOptions()) > black(PLAIN) + 0.02


@pytest.mark.parametrize("contents", [b"", b"no picture"])
def test_broken_crops_are_replaced_named_and_always_alike(data_root, contents):
    whole = crops(data_root)
    healthy = [whole[i] for i in range(len(whole))]
    victims = [i for i, sample in enumerate(healthy) if sample.label > 0.5][:3]
    names = [healthy[i].name for i in victims]
    for name in names:
        Path(name).write_bytes(contents)
    data = crops(data_root)
    for i in range(len(data)):
        sample = data[i]
        if i in victims:
            assert any(healthy[i].name in message for message in sample.broken)
            assert sample.name not in names and sample.label == healthy[i].label
            again = crops(data_root)[i]
            assert again.name == sample.name and (again.image == sample.image).all()
        else:
            assert sample.broken == () and (sample.image == healthy[i].image).all()
    batch = collate([data[i] for i in range(len(data))])
    assert len(batch) == len(data) and len(batch.broken) >= 3


def test_broken_landmarks_are_named_and_missing_ones_are_not(data_root):
    for file in (data_root / "landmarks").rglob("*.npy"):
        file.unlink()
    assert all(crops(data_root, SampleOptions())[i].broken == () for i in range(4))
    data = crops(data_root, SampleOptions())
    (data_root / "landmarks" / "r0" / "0_0.npy").write_bytes(b"junk")
    message = [name for i in range(len(data)) for name in data[i].broken]
    assert message and all("0_0.npy" in name for name in message)


def test_nothing_but_broken_crops_stops(data_root):
    for file in (data_root / "crops").rglob("*.png"):
        file.write_bytes(b"")
    with pytest.raises(ValueError, match=r"broken crops in a row, the last: .*png"):
        crops(data_root)[0]


def test_validity_follows_from_the_mask(data_root):
    def valid(**options):
        data = crops(data_root, SampleOptions(hardcore=False, **options))
        samples = [data[i] for i in range(len(data))]
        return {s.name.split("/")[-2][0]: s.valid for s in samples}

    assert valid(only_changed=True) == {"r": True, "f": True}
    for file in (data_root / "diffs").rglob("*.png"):
        file.unlink()
    assert valid(only_changed=True) == {"r": True, "f": False}
    assert valid() == {"r": True, "f": True}


def test_a_mask_of_another_size_is_broken(data_root):
    from deepfake.media.images import write_image

    for file in (data_root / "diffs").rglob("*.png"):
        write_image(file, np.full((30, 30), 200, np.uint8))
    with pytest.raises(ValueError, match="generate the diffs again"):
        data = crops(data_root, SampleOptions(hardcore=False, only_changed=True))
        [data[i] for i in range(len(data))]


def test_padding_part_narrows_training_and_validation(shared_data_root):
    rows = validation_rows(read_folds(shared_data_root / "folds.csv"), 0)
    folder = FolderCrops(DataRoot(shared_data_root))
    plain, narrow = (ValidationCrops(rows, np.arange(2), folder, 48, part)[0] for part in (3, 6))
    crop = read_image(CropFiles.of(DataRoot(shared_data_root), next(rows.itertuples())).crop)
    assert plain.image.shape == narrow.image.shape == (48, 48, 3)
    inner = crop[8:-8, 8:-8]  # 80 pixels, 48 of them the box: 16 a side become 8
    assert abs(narrow.image.astype(int).mean() - inner.mean()) < 2
    options = replace(PLAIN, padding_part=6)
    assert any((crops(shared_data_root, options)[i].image != crops(shared_data_root)[i].image).any() for i in range(4))


def test_validation_names_what_is_broken_and_replaces_nothing(data_root):
    rows = validation_rows(read_folds(data_root / "folds.csv"), 0)
    victim = CropFiles.of(DataRoot(data_root), next(rows.itertuples())).crop
    victim.unlink()
    data = ValidationCrops(rows, np.arange(len(rows)), FolderCrops(DataRoot(data_root)), 48, 3)
    batch = collate([data[i] for i in range(len(data))])
    assert len(batch) == len(rows) - 1 and batch.index.tolist() == list(range(1, len(rows)))
    assert len(batch.broken) == 1 and str(victim) in batch.broken[0]
    assert set(batch.labels.tolist()) == {0.0, 1.0}, "not smoothed"


def test_batches_do_not_depend_on_the_number_of_workers(shared_data_root):
    loaders = [make_loader(crops(shared_data_root, SampleOptions()), 4, workers, False) for workers in (0, 2)]
    for alone, shared in zip(*loaders, strict=True):
        assert (alone.images == shared.images).all() and alone.names == shared.names
        assert alone.images.shape == (4, 3, 64, 64) and alone.labels.tolist() == shared.labels.tolist()


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_ranks_share_the_epoch_and_the_fold(world_size):
    shares = [training_positions(100, 4, 5, rank, world_size) for rank in range(world_size)]
    assert sorted(np.concatenate(shares)) == list(range(20 * world_size))
    first_step = np.concatenate([share[:5] for share in shares])
    assert sorted(first_step) == list(range(5 * world_size))
    folds = [validation_positions(11, rank, world_size) for rank in range(world_size)]
    assert sorted(np.concatenate(folds)) == list(range(11))

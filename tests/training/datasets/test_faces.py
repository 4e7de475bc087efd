"""Which aligned faces an epoch uses, and reading them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepfake.datasets.aligned_faces import FACES_CSV, read_face_list
from deepfake.media.images import read_image
from deepfake.storage.tables import TableError
from training.datasets.batch import collate
from training.datasets.face_sampling import (
    balanced_rows,
    balanced_samples,
    check_faces,
    drawn_rows,
    even_rows,
    faces_of_set,
    share_counts,
)
from training.datasets.faces import TrainingFaces, ValidationFaces
from training.datasets.loading import make_loader


def videos(*pictures: int, label: int = 0) -> pd.DataFrame:
    rows = [(f"v{n}", label, count, "train") for n, count in enumerate(pictures)]
    return pd.DataFrame(rows, columns=["name", "is_fake", "n_frame", "set_name"])


def both(reals: list[int], fakes: list[int]) -> pd.DataFrame:
    named = [videos(*reals), videos(*fakes, label=1).assign(name=lambda v: "f" + v["name"])]
    return pd.concat(named, ignore_index=True)


def positions(rows: pd.DataFrame, pictures: int) -> list[int]:
    return sorted(pictures * p // q for p, q in zip(rows["part"].tolist(), rows["parts"].tolist()))


def test_sets_leave_videos_without_pictures_out(shared_faces_root):
    faces = read_face_list(shared_faces_root / FACES_CSV)
    assert set(faces_of_set(faces, "train")["name"]) == {"r0", "f0", "r1", "f1", "r2", "f2"}
    assert set(faces_of_set(faces, "val")["name"]) == {"r3", "f3", "r4", "f4"}


def test_a_share_of_each_video_is_drawn_anew_each_epoch():
    table = both([300, 10, 1], [300, 9])
    counts = share_counts(table, real=0.25, fake=0.05)
    assert counts.tolist() == [75, 2, 0, 15, 0]
    rows = drawn_rows(table, counts, seed=777, epoch=0)
    assert rows["video"].value_counts().to_dict() == {"v0": 75, "v1": 2, "fv0": 15}
    assert (rows["label"] == rows["video"].str.startswith("f")).all()
    assert rows.equals(drawn_rows(table, counts, 777, 0))
    assert not rows.equals(drawn_rows(table, counts, 777, 1)) and not rows.equals(drawn_rows(table, counts, 1, 0))
    assert rows["video"][:30].nunique() > 1, "shuffled"
    drawn = [p for epoch in range(40) for p in positions(drawn_rows(videos(300), np.array([75]), 1, epoch), 300)]
    assert set(drawn) == set(range(300)) and np.bincount(drawn).max() < 40


@given(st.integers(1, 400), st.integers(0, 50))
def test_validation_pictures_are_spread_evenly(pictures, count):
    rows = even_rows(videos(pictures), np.array([count]))
    wanted = min(max(count, 1), pictures)
    assert positions(rows, pictures) == [pictures * i // wanted for i in range(wanted)]


def test_validation_order_is_stable():
    table = both([5, 5], [5, 5])
    rows = even_rows(table.iloc[::-1].reset_index(drop=True), np.array([1, 2, 3, 4]))
    assert rows["video"].tolist() == ["fv0"] * 2 + ["fv1"] * 1 + ["v0"] * 4 + ["v1"] * 3


@pytest.mark.parametrize("epoch", [0, 5, 13])
def test_published_positions(epoch):
    rows = balanced_rows(both([300], [240]), 20, 12, 777, epoch)
    for video, pictures in (("v0", 300), ("fv0", 240)):
        assert positions(rows[rows["video"] == video], pictures) == [12 * i + epoch % 12 for i in range(20)]


@given(st.integers(1, 300), st.integers(0, 30), st.integers(1, 25), st.integers(1, 15))
def test_positions_of_short_videos_are_distinct_and_spread(pictures, epoch, frames, stride):
    table = both([pictures], [pictures])
    rows = balanced_rows(table, frames, stride, 777, epoch)
    found = positions(rows[rows["label"] == 0], pictures)
    assert len(set(found)) == len(found) == min(frames, pictures)
    assert found[0] >= 0 and found[-1] < pictures
    gaps = np.diff(found)
    if len(gaps):
        assert gaps.max() - gaps.min() <= 1
    if pictures < frames * stride:
        assert found[0] <= pictures / len(found) and pictures - found[-1] <= 2 * pictures / len(found) + 1


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_epochs_are_balanced_and_never_smaller_than_told(reals, fakes):
    table = both(reals, fakes)
    for epoch in range(3):
        rows = balanced_rows(table, 20, 12, 777, epoch)
        used = rows.groupby("label")["video"].nunique()
        assert used[0] == used[1] == min(len(reals), len(fakes))
        assert len(rows) >= balanced_samples(table, 20) >= 2


def test_fakes_are_drawn_anew_each_epoch():
    table = both([30] * 4, [30] * 40)
    drawn = [set(balanced_rows(table, 20, 12, 777, epoch).query("label == 1")["video"]) for epoch in range(3)]
    assert drawn[0] != drawn[1] != drawn[2]
    assert drawn[0] == set(balanced_rows(table, 20, 12, 777, 0).query("label == 1")["video"])


def test_lists_that_cannot_be_used(faces_root):
    faces = read_face_list(faces_root / FACES_CSV)
    check_faces(faces, faces_root, "faces.csv")
    for set_name, purpose in (("train", "train on"), ("val", "validate with")):
        for label, name in ((0, "real"), (1, "fake")):
            less = faces[(faces["set_name"] != set_name) | (faces["is_fake"] != label)]
            with pytest.raises(TableError, match=rf"faces\.csv: no {name} videos .* set '{set_name}' to {purpose}"):
                check_faces(less, faces_root, "faces.csv")
    (faces_root / "f4").rename(faces_root / "gone")
    with pytest.raises(TableError, match=r"1 of 4 videos in set 'val' have no folder in .*, the first: f4; extract"):
        check_faces(faces, faces_root, "faces.csv")


def identity(image, rng=None):
    return image


def training(root, rows=None, epoch=0):
    table = faces_of_set(read_face_list(root / FACES_CSV), "train")
    rows = balanced_rows(table, 4, 2, 777, epoch) if rows is None else rows
    return rows, TrainingFaces(rows, np.arange(len(rows)), root, identity, 777, epoch)


def test_samples_are_the_pictures_that_the_rows_tell(shared_faces_root):
    rows, data = training(shared_faces_root)
    for i, row in enumerate(rows.itertuples()):
        frame = 6 * row.part // row.parts
        file = shared_faces_root / row.video / f"{frame:03d}.png"
        assert data[i].name == str(file) and data[i].index == i and not data[i].broken
        assert data[i].label == (row.video[0] == "f")
        assert (data[i].image == read_image(file)).all()


def test_broken_pictures_are_replaced_by_others_of_their_label_and_named(faces_root):
    broken = sorted(faces_root.glob("?1/*.png"))
    for file in broken:
        file.write_bytes(b"")
    rows, data = training(faces_root)
    samples = [data[i] for i in range(len(data))]
    named = {text.split(": ")[0] for s in samples for text in s.broken}
    assert named and named <= {str(f) for f in broken}
    for sample, label in zip(samples, rows["label"]):
        assert sample.label == label and "/r1/" not in sample.name and "/f1/" not in sample.name
    again = training(faces_root)[1]
    assert [s.name for s in samples] == [again[i].name for i in range(len(again))]


def test_a_folder_without_pictures_is_a_broken_file(faces_root):
    for file in faces_root.glob("r0/*.png"):
        file.unlink()
    _, data = training(faces_root)
    (message,) = {text for i in range(len(data)) for text in data[i].broken}
    assert message.endswith("r0: no pictures in this folder")


def test_nothing_but_broken_pictures_ends(faces_root):
    for file in faces_root.glob("r*/*.png"):
        file.write_bytes(b"no picture")
    rows, data = training(faces_root)
    with pytest.raises(ValueError, match=r"100 broken crops in a row, the last: .*\.png.*; extract the faces again"):
        data[int(np.flatnonzero(rows["label"] == 0)[0])]


def test_validation_reports_broken_pictures_and_replaces_none(faces_root):
    table = faces_of_set(read_face_list(faces_root / FACES_CSV), "val")
    rows = even_rows(table, np.full(4, 3))
    (faces_root / "f3" / "002.png").write_bytes(b"")
    data = ValidationFaces(rows, np.arange(1, 12, 2), faces_root, identity)
    batch = collate([data[i] for i in range(len(data))])
    assert batch.index.tolist() == [3, 5, 7, 9, 11] and len(batch.broken) == 1 and "f3/002.png" in batch.broken[0]


def test_workers_change_nothing(shared_faces_root):
    _, data = training(shared_faces_root)
    alone, shared = (list(make_loader(data, 4, workers, pin_memory=False)) for workers in (0, 2))
    assert [b.names for b in alone] == [b.names for b in shared]

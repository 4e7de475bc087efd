"""Folds: no original apart from its fakes, the published rule, and a table that keeps ids as they are."""

import random
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from deepfake.datasets.folds import (
    COLUMNS,
    FoldError,
    FoldRow,
    check_leaks,
    describe_split_leaks,
    describe_uneven,
    draw_share,
    draw_validation,
    families,
    folds_by_official,
    folds_by_original,
    folds_by_part,
    most_even_splits,
    read_folds,
    write_folds,
)
from deepfake.datasets.records import Dataset, VideoRecord
from deepfake.storage.tables import TableError


def video(name: str, original: str | None = None, part: int = 0) -> VideoRecord:
    return VideoRecord(name, Path(f"dfdc_train_part_{part}") / f"{name}.mp4", int(original is not None), original)


@st.composite
def data_sets(draw) -> list[VideoRecord]:
    videos = []
    for i, (fakes, present) in enumerate(draw(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1))):
        videos += [video(f"v{i}")] if present or fakes == 0 else []
        videos += [video(f"v{i}_{k}", original=f"v{i}") for k in range(fakes)]
    return videos


@given(data_sets(), st.integers(1, 20), st.integers(0, 1000))
def test_an_original_and_all_its_fakes_share_a_fold(videos, n_splits, seed):
    identities = {v.identity for v in videos}
    assume(n_splits <= len(identities))
    folds = folds_by_original(videos, n_splits, seed)

    assert set(folds) == {v.video_id for v in videos}
    of_identity = {identity: {folds[v.video_id] for v in videos if v.identity == identity} for identity in identities}
    assert all(len(found) == 1 for found in of_identity.values())
    sizes = [sum(found == {fold} for found in of_identity.values()) for fold in range(n_splits)]
    assert sum(sizes) == len(identities) and max(sizes) - min(sizes) <= 1
    for label in (0, 1):  # so that each fold has both labels wherever that can be
        having = {v.identity for v in videos if v.label == label}
        counts = [sum(of_identity[identity] == {fold} for identity in having) for fold in range(n_splits)]
        assert max(counts) - min(counts) <= 1


@given(data_sets(), st.randoms(use_true_random=False))
def test_folds_do_not_hang_on_the_order_of_videos(videos, rng):
    n_splits = min(4, len({v.identity for v in videos}))
    shuffled = videos.copy()
    rng.shuffle(shuffled)
    assert folds_by_original(shuffled, n_splits) == folds_by_original(videos, n_splits)


def test_fakes_of_fakes_belong_to_the_first_original():
    line = [video("a"), video("b", "a"), video("c", "b"), video("d", "c"), video("x"), video("y", "nobody")]
    for videos in (line, line[::-1]):
        assert families(videos) == {"a": "a", "b": "a", "c": "a", "d": "a", "x": "x", "y": "nobody"}
        folds = folds_by_original(videos, 3)
        assert folds["a"] == folds["b"] == folds["c"] == folds["d"]


def test_fakes_of_each_other_are_one_family():
    circle = [video("b", "c"), video("c", "d"), video("d", "b"), video("e", "c"), video("self", "self")]
    for videos in (circle, circle[::-1]):
        assert families(videos) == {"b": "b", "c": "b", "d": "b", "e": "b", "self": "self"}


@given(st.sets(st.text(max_size=3), min_size=2), st.floats(0.001, 0.999), st.integers(0, 1000))
def test_a_share_is_drawn_and_something_left(names, share, seed):
    drawn = draw_share(names, share, seed)
    assert drawn < names and drawn
    assert abs(len(drawn) - share * len(names)) <= 1
    assert draw_share([*sorted(names), *names], share, seed) == drawn


def test_another_seed_draws_others():
    names = [str(i) for i in range(40)]
    assert draw_share(names, 0.25, seed=1) != draw_share(names, 0.25, seed=2)


@pytest.mark.parametrize("seed", range(5))
def test_reals_and_fakes_validate_where_no_family_has_both(seed):
    videos = [VideoRecord(f"{label}{n}", Path("x.mp4"), label) for label in (0, 1) for n in range(5)]
    family_of = families(videos)
    drawn = draw_validation(videos, family_of, 0.2, seed)
    assert sorted(name[0] for name in drawn) == ["0", "1"]
    pair = [VideoRecord("r", Path("x.mp4"), 0), VideoRecord("f", Path("x.mp4"), 1, original="r")]
    mixed = families([*videos, *pair])
    assert draw_validation([*videos, *pair], mixed, 0.2, seed) == draw_share(mixed.values(), 0.2, seed)


@pytest.mark.parametrize(
    ("names", "share", "expected_message"),
    [(["a", "b"], 0, "share of 0"), (["a", "b"], 1.0, "share of 1.0"), (["a", "b"], float("nan"), "share of nan"),
     (["a", "a"], 0.5, "1 originals"), ([], 0.5, "0 originals")],
)  # fmt: skip
def test_shares_that_cannot_be_drawn(names, share, expected_message):
    with pytest.raises(FoldError, match=expected_message):
        draw_share(names, share)


def test_another_seed_gives_other_folds():
    videos = [video(f"v{i}") for i in range(40)]
    assert folds_by_original(videos, 4, seed=1) != folds_by_original(videos, 4, seed=2)


@pytest.mark.parametrize("n_splits", [0, -1, 3])
def test_more_splits_than_originals(n_splits):
    with pytest.raises(FoldError, match=r"splits of 2 originals: expected 1 to 2"):
        folds_by_original([video("a"), video("b"), video("c", original="a")], n_splits)


def test_the_published_rule_three_parts_a_fold_and_the_rest_in_the_last():
    videos = [video(f"v{part}", part=part) for part in range(50)]
    folds = folds_by_part(videos)
    assert [folds[f"v{part}"] for part in range(50)] == [min(part // 3, 15) for part in range(50)]
    assert [list(folds.values()).count(fold) for fold in range(16)] == [3] * 15 + [5]


@given(st.integers(1, 50), st.data())
def test_parts_are_consecutive_and_every_fold_is_used(parts, data):
    n_splits = data.draw(st.integers(1, parts))
    videos = [video(f"v{part}", part=part) for part in range(parts)]
    random.Random(parts).shuffle(videos)
    folds = folds_by_part(videos, n_splits, parts)
    ordered = [folds[f"v{part}"] for part in range(parts)]
    assert ordered == sorted(ordered)
    assert set(ordered) == set(range(n_splits))
    assert all(ordered.count(fold) == parts // n_splits for fold in range(n_splits - 1))


def in_split(name: str, split: str | None, group: str = "") -> VideoRecord:
    return VideoRecord(name, Path(f"{name}.mp4"), 0, split=split, group=group)


def test_what_a_data_set_groups_shares_a_fold():
    videos = [VideoRecord(f"{n}{k}", Path("v"), k, group=f"person {n}") for n in range(5) for k in range(2)]
    folds = folds_by_original(videos, 5)
    assert all(folds[f"{n}0"] == folds[f"{n}1"] for n in range(5)) and len(set(folds.values())) == 5


def test_official_splits_are_folds_and_nobody_trains_on_test():
    videos = [in_split("a", "train"), in_split("b", "val"), in_split("c", "test"), in_split("d", None)]
    assert folds_by_official(videos) == {"a": 1, "b": 0}


def test_without_an_official_val_train_is_dealt_out():
    videos = [in_split(name, "train", name[0]) for name in ("a1", "a2", "b1", "b2")] + [in_split("c", "test")]
    folds = folds_by_official(videos, 2)
    assert set(folds) == {"a1", "a2", "b1", "b2"}
    assert folds["a1"] == folds["a2"] != folds["b1"] == folds["b2"]
    with pytest.raises(FoldError, match="split train"):
        folds_by_official([in_split("c", "test")])


def test_groups_in_two_official_splits_are_described():
    videos = [in_split("a1", "train", "a"), in_split("a2", "test", "a"), in_split("b", "val"), in_split("c", None)]
    described = describe_split_leaks(Dataset({video.video_id: video for video in videos}))
    assert described is not None
    assert "1 of 2 groups" in described and "'a' in test and train" in described
    assert describe_split_leaks(Dataset({video.video_id: video for video in videos[1:]})) is None


def test_parts_that_the_rule_does_not_know():
    with pytest.raises(FoldError, match="part 50 of a data set of 50 parts; split by original"):
        folds_by_part([video("a", part=50)])
    with pytest.raises(FoldError, match="51 splits of 50 parts: expected 1 to 50"):
        folds_by_part([video("a")], 51)
    with pytest.raises(ValueError, match=r'split by original .*FOLDS_ARGS="--split-by original --n-splits 5"'):
        folds_by_part([VideoRecord("a", Path("celebrities/a.mp4"), 0)])


def test_uneven_folds_are_described():
    def described(counts, n_splits):
        videos = [
            VideoRecord(f"{fold}{label}{i}", Path("v"), label)
            for fold, pair in counts.items()
            for label, count in enumerate(pair)
            for i in range(count)
        ]
        return describe_uneven(videos, {v.video_id: int(v.video_id[0]) for v in videos}, n_splits)

    assert described({0: (2, 3), 1: (1, 4)}, 2) is None
    assert described({0: (1, 1), 1: (4, 4)}, 2) is None
    assert described({0: (2, 3)}, 16) == "only 1 of 16 folds get videos (fold 0: 5)"
    assert described({0: (2, 3), 1: (0, 4)}, 2) == "fold 1 gets no real video"
    assert described({0: (2, 3), 1: (5, 0)}, 2) == "fold 1 gets no fake video"
    assert described({0: (1, 1), 1: (1, 8)}, 2) == "fold 1 gets 9 videos, fold 0 only 2"
    assert described({0: (4, 4)}, 1) == "with its only fold held out, no video is left to train on"


def test_the_most_folds_that_are_even():
    paired = [v for i in range(4) for v in (video(f"v{i}"), video(f"f{i}", original=f"v{i}"))]
    assert most_even_splits(paired, 5) == 4 and most_even_splits(paired, 3) == 3
    many = [video(f"w{k}", original="v0") for k in range(9)]  # with v0: 11 videos, more than 4 times another fold's 2
    assert most_even_splits([*paired, *many], 5) == 2
    assert most_even_splits([video("a"), video("b"), video("f", original="a")], 5) is None


def test_a_leak_names_both_videos_and_folds():
    original, fake = video("a", part=0), video("f", original="a", part=3)
    folds = folds_by_part([original, fake])
    with pytest.raises(FoldError, match=r"f\.mp4: in fold 1, but its original .*a\.mp4 is in fold 0"):
        check_leaks(folds, [(original, fake)])
    check_leaks({"a": 1, "f": 1}, [(original, fake)])


# The table.

ROWS = [
    FoldRow(video, file, label, original, frame, fold)
    for video, file, label, original, frame, fold in [
        ("001", "0_0.png", 0, "001", 0, 0),
        ("NA", "10_0.png", 1, "null", 10, 15),
        ("nan", "320_2.webp", 1, "None", 320, 3),
        ("", "0_1.png", 0, "", 0, 1),
        ("größe 人", "0_0.jpg", 0, " space ", 0, 2),
        ('a,b"c', "0_0.png", 1, "line\nbreak", 20, 2),
        ("1e5", "0_0.png", 0, "0x10", 0, 2),
        ("True", "0_0.png", 0, "-0", 0, 2),
    ]
]


def rows_of(path: Path) -> list[FoldRow]:
    return [FoldRow(*row) for row in read_folds(path).itertuples(index=False)]


def test_ids_are_kept_as_they_are(tmp_path):
    write_folds(tmp_path / "folds.csv", ROWS)
    assert sorted(map(repr, rows_of(tmp_path / "folds.csv"))) == sorted(map(repr, ROWS))


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
ANY_ROW = st.builds(FoldRow, TEXT, TEXT, st.integers(0, 1), TEXT, st.integers(0, 10**6), st.integers(0, 99))


@given(st.lists(ANY_ROW, max_size=8))
def test_the_table_is_read_as_it_was_written(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("folds") / "folds.csv"
    write_folds(path, rows)
    assert sorted(map(repr, rows_of(path))) == sorted(map(repr, rows))


def test_the_columns_are_the_published_ones(tmp_path):
    write_folds(tmp_path / "folds.csv", [FoldRow("f", "20_0.png", 1, "a", 20, 4)])
    assert (tmp_path / "folds.csv").read_text() == "video,file,label,original,frame,fold\nf,20_0.png,1,a,20,4\n"


def test_the_file_hangs_on_the_rows_and_the_seed_alone(tmp_path):
    rows = [FoldRow(f"v{i}", "0_0.png", 0, f"v{i}", 0, 0) for i in range(50)]
    write_folds(tmp_path / "1.csv", rows)
    write_folds(tmp_path / "2.csv", rows[::-1])
    write_folds(tmp_path / "3.csv", rows, seed=1)
    first, second, third = ((tmp_path / f"{i}.csv").read_text() for i in (1, 2, 3))
    assert first == second != third
    assert sorted(first.splitlines()) == sorted(third.splitlines())
    assert rows_of(tmp_path / "1.csv") != rows, "shuffled: a trainer that reads the first rows sees all kinds"


def test_the_published_table_is_read(shared):
    table = read_folds(shared / "reference" / "folds.csv")
    assert list(table.columns) == list(COLUMNS)
    assert len(table) > 100 and set(table["label"]) == {0, 1}


HEADER = ",".join(COLUMNS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not a fold table"),
        ("video,file\na,b\n", "no column label, original, frame, fold; expected video,file"),
        (f"{HEADER}\na,b,1,c,0\n", "whole numbers"),
        (f"{HEADER}\na,b,x,c,0,0\n", "label, frame and fold must be whole numbers"),
        (f"{HEADER}\na,b,1,c,0,1.5\n", "label, frame and fold must be whole numbers"),
        (f"{HEADER}\na,b,1,c,,0\n", "label, frame and fold must be whole numbers"),
        (f'{HEADER}\n"a,b,1,c,0,0\n', "not a fold table"),
    ],
    ids=["empty", "columns", "short row", "label", "fraction", "nothing", "open quote"],
)
def test_other_tables_are_errors_that_name_them(tmp_path, content, message):
    (tmp_path / "folds.csv").write_text(content)
    with pytest.raises(TableError, match=rf"folds\.csv: .*{message}"):
        read_folds(tmp_path / "folds.csv")


def test_a_missing_or_binary_table(tmp_path):
    with pytest.raises(TableError, match=r"folds\.csv: not a fold table"):
        read_folds(tmp_path / "folds.csv")
    (tmp_path / "folds.csv").write_bytes(b"\xff\xfe\x00\x01\n" * 10)
    with pytest.raises(TableError, match=r"folds\.csv"):
        read_folds(tmp_path / "folds.csv")

"""Records and data sets: groups, pairs, and the choice of methods, compressions and splits."""

from pathlib import Path

import pytest

from deepfake.datasets.records import Dataset, DatasetError, VideoRecord, build


def video(video_id: str, label: int = 0, **fields) -> VideoRecord:
    return VideoRecord(video_id, Path(f"{video_id}.mp4"), label, **fields)


@pytest.fixture
def dataset() -> Dataset:
    return build(
        [
            video("tube_c23_0", compression="c23", split="train", source="youtube"),
            video("tube_c40_0", compression="c40", split="train", source="youtube"),
            video("tube_c23_1", compression="c23", split="test", source="youtube"),
            video("actor_c23_0", compression="c23", source="actors"),
            video("Swap_c23_0", 1, original="tube_c23_0", method="Swap", compression="c23", split="train",
                  source="youtube"),
            video("Swap_c40_0", 1, original="tube_c40_0", method="Swap", compression="c40", split="train",
                  source="youtube"),
            video("Act_c23_0", 1, original="actor_c23_0", method="Act", compression="c23", source="actors"),
            video("Puppet_c23_1", 1, original="tube_c23_1", method="Puppet", compression="c23", split="train",
                  source="youtube"),
        ]
    )  # fmt: skip


def test_the_group_is_the_original_unless_it_is_given():
    assert video("a").group == "a" and video("f", 1, original="a").group == "a"
    assert video("f", 1, original="a", group="a and b").group == "a and b"


def test_what_a_data_set_holds(dataset):
    assert dataset.methods == ["Act", "Puppet", "Swap"]
    assert dataset.compressions == ["c23", "c40"] and dataset.splits == ["train", "test"]


def test_a_method_keeps_the_reals_that_its_originals_are_among(dataset):
    assert set(dataset.select(methods=["act"]).videos) == {"actor_c23_0", "Act_c23_0"}
    assert set(dataset.select(methods=["Swap"], compressions=["c40"]).videos) == {"tube_c40_0", "Swap_c40_0"}


def test_a_fake_whose_original_is_left_out_stands_for_itself(dataset):
    chosen = dataset.select(splits=["train"], methods=["Puppet"])
    assert set(chosen.videos) == {"tube_c23_0", "tube_c40_0", "Puppet_c23_1"}
    assert [v.video_id for v in chosen.unattributed] == ["Puppet_c23_1"]
    assert chosen.videos["Puppet_c23_1"].group == "tube_c23_1"


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"methods": ["Swap", "Wrap"]}, "method 'Wrap' unknown; expected one of Act, Puppet, Swap"),
        ({"compressions": ["c10"]}, "compression 'c10' unknown; expected one of c23, c40"),
        ({"splits": ["val"]}, "split 'val' unknown; expected one of train, test"),
    ],
)
def test_what_is_not_there_is_named_with_what_is(dataset, choice, message):
    with pytest.raises(DatasetError, match=message):
        dataset.select(**choice)
    with pytest.raises(DatasetError, match="the data set names no"):
        build([video("a")]).select(**choice)


def test_a_fake_whose_original_is_not_a_real_of_the_set_is_unpaired():
    data = build([video("a"), video("f", 1, original="gone", group="g"), video("h", 1, original="f")])
    assert data.unpaired == {"f": "gone", "h": "f"}
    assert [v.video_id for v in data.unattributed] == ["f", "h"] and data.orphans == []
    assert data.videos["f"].group == "g" and data.videos["h"].group == "f"


def test_one_id_twice():
    with pytest.raises(DatasetError, match=r"video id 'a' is also a\.mp4"):
        build([video("a"), video("a")])

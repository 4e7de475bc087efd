"""How far a step is: by its outputs alone, by the records of its runs too; rates and sizes."""

import json
from pathlib import Path

import pytest

from deepfake.datasets.data_root import DataRoot
from deepfake.datasets.progress import describe_bytes, latest_rate, look_at
from deepfake.datasets.reading import read_dataset
from deepfake.datasets.records import Dataset
from deepfake.datasets.run_records import DONE, FAILED, Entry, Header, Run
from deepfake.datasets.stages import CROPS, DETECT, DIFFS, IMAGES

HEADER = Header(
    step="extract_crops", folder="crops", settings={}, videos=4, skipped=0, workers=1, scheduler=None, arguments=[],
    started="2026-01-01T00:00:00+00:00", code={},
)  # fmt: skip


def make_run(*entries: Entry) -> Run:
    return Run(Path("runs/x.jsonl"), HEADER, list(entries))


def entry(video: str, at: float = 1.0, size: int | None = None, error: str | None = None) -> Entry:
    return Entry(video, DONE if error is None else FAILED, None, size, error, at)


@pytest.fixture
def layout(tmp_path) -> DataRoot:
    """Crops of a and its fake x, none of b; boxes of b."""
    metadata = {"a.mp4": {"label": "REAL"}, "b.mp4": {"label": "REAL"}, "x.mp4": {"label": "FAKE", "original": "a.mp4"}}
    orphan = {"orphan.mp4": {"label": "FAKE", "original": "nobody.mp4"}}
    (tmp_path / "metadata.json").write_text(json.dumps(metadata | orphan))
    for name in ("a", "x"):
        (tmp_path / "crops" / name).mkdir(parents=True)
        (tmp_path / "crops" / name / "0_0.png").write_bytes(b"0123456789")
    (tmp_path / "boxes").mkdir()
    (tmp_path / "boxes" / "b.json").write_text("{}")
    return DataRoot(tmp_path)


@pytest.fixture
def dataset(layout) -> Dataset:
    return read_dataset(layout.root)


def test_outputs_alone_say_what_is_done(layout, dataset):
    crops, boxes, masks, frames = (look_at(stage, layout, dataset) for stage in (CROPS, DETECT, DIFFS, IMAGES))
    assert (crops.done, crops.missing, crops.failed, crops.videos) == (["a", "x"], ["b"], {}, 3)
    assert (boxes.done, boxes.missing) == (["b"], ["a"]) and boxes.used_bytes() == 2
    assert (masks.done, masks.missing, masks.rate) == ([], ["x"], None)
    assert masks.is_shown and not frames.is_shown, "nobody asked for whole frames"


def test_records_say_what_failed_and_how_large_outputs_are(layout, dataset):
    runs = [
        make_run(entry("a", size=70), entry("b", error="broken"), entry("x", error="broken")),
        make_run(entry("x", at=4.0), entry("orphan", error="no original"), entry("gone", error="no longer there")),
    ]
    state = look_at(CROPS, layout, dataset, runs)
    assert (state.done, state.missing) == (["a", "x"], [])
    assert state.failed == {"b": "broken", "orphan": "no original"} and state.videos == 4
    assert state.used_bytes() == 70 + 10, "as recorded, or else measured"
    assert look_at(IMAGES, layout, dataset, runs).is_shown


def test_time_left_follows_the_latest_run_that_did_enough():
    assert latest_rate([]) is None
    long = make_run(*(entry(str(i), at=(i + 1) / 2) for i in range(40)))
    slow = make_run(*(entry(str(i), at=(i + 1) * 2) for i in range(40)))
    short = make_run(entry("0", at=0.5))
    assert latest_rate([slow, long, short]) == 2.0
    assert latest_rate([long, slow, short]) == 0.5
    assert latest_rate([short]) == 2.0


@pytest.mark.parametrize(
    "count, words",
    [
        *((0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1500, "1.5 kB"), (2.5e6, "2.5 MB"), (2_340_000, "2.3 MB")),
        *((4e9, "4.0 GB"), (5e9, "5.0 GB"), (1.25e12, "1.25 TB"), (1.5e12, "1.50 TB")),
    ],
)
def test_sizes_in_words(count, words):
    assert describe_bytes(count) == words

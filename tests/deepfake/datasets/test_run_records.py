"""The records of runs: written line by line, read in the order of the runs, and what they say about settings."""

from dataclasses import replace
from pathlib import Path

import pytest

from deepfake.datasets.run_records import DONE, FAILED, Entry, Record, find_change, last_entries, new_header, read_runs
from deepfake.parallel.workers import Cost, Summary
from deepfake.storage.own_folders import RUNS_DIR
from deepfake.version import code_version

FACTS = {"videos": 3, "skipped": 0, "workers": 2, "scheduler": None, "arguments": []}


def header(settings: dict, folder: str = "crops"):
    return new_header("extract_crops", folder, settings, **FACTS)


def write_run(root: Path, settings: dict, *done: str, failed: tuple[str, ...] = (), folder: str = "crops") -> Path:
    with Record(root, header(settings, folder)) as record:
        for video in done:
            record.add(video, None, Cost(0.5, 100))
        for video in failed:
            record.add(video, "broken")
    return record.path


def record_at(root: Path, started: str, every: int, *videos: str) -> None:
    """A run of the step `detect` that did these videos."""
    facts = {"videos": 2, "skipped": 0, "workers": 1, "scheduler": None, "arguments": []}
    header = new_header("detect", "boxes", {"every": every}, **facts)
    header = type(header)(**{**vars(header), "started": started})
    with Record(root, header) as run:
        for video in videos:
            run.add(video, None)
        run.end(Summary(done=len(videos)))


def test_a_clock_that_was_set_back_does_not_turn_runs_round(tmp_path):
    record_at(tmp_path, "2030-01-01T00:00:00+00:00", 10, "a", "b")
    record_at(tmp_path, "2026-01-01T00:00:00+00:00", 5, "a")  # a was done again
    runs = read_runs(tmp_path, "detect")
    assert [run.header.number for run in runs] == [1, 2]
    assert [run.header.settings["every"] for run in runs] == [10, 5]
    assert find_change(runs, ["a"], {"every": 5}) is None
    assert "(such as a) were made with every 5, not 10" in find_change(runs, ["a"], {"every": 10})
    # Done just before a kill, a video is in no list: the latest run made it.
    assert find_change(runs, ["c"], {"every": 5}) is None


def test_records_of_older_code_come_first_by_their_times(tmp_path):
    for started, every in (("2026-01-02T00:00:00+00:00", 2), ("2026-01-01T00:00:00+00:00", 1)):
        record_at(tmp_path, started, every, "a")
    for path in (tmp_path / "runs").iterdir():
        path.write_text(path.read_text().replace(', "number": 1', "").replace(', "number": 2', ""))
    record_at(tmp_path, "2025-01-01T00:00:00+00:00", 3, "a")
    assert [run.header.settings["every"] for run in read_runs(tmp_path, "detect")] == [1, 2, 3]


def test_the_record_of_another_living_run_is_left_alone(tmp_path):
    """Only what a killed one began goes."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / ".partial-20260101T000000_detect_abc.jsonl").write_text("half")
    record_at(tmp_path, "2026-01-01T00:00:00+00:00", 1, "a")
    assert len(list((tmp_path / "runs").iterdir())) == 1


def test_a_record_is_read_as_it_was_written(tmp_path):
    with Record(tmp_path, header({"every": 10, "sizes": (1, 2)})) as record:
        record.add("größe 1", None, Cost(1.23456, 789))
        record.add("b", "no\nframe")
        record.end(Summary(done=1, skipped=4, seconds=2.5))
    (run,) = read_runs(tmp_path, "extract_crops", "crops")
    assert run.path == record.path and run.path.parent == tmp_path / RUNS_DIR
    assert run.header.settings == {"every": 10, "sizes": [1, 2]}
    assert run.header.code["source"] == code_version().source
    assert [replace(entry, at=0) for entry in run.entries] == [
        Entry("größe 1", DONE, 1.235, 789, None, 0),
        Entry("b", FAILED, None, None, "no\nframe", 0),
    ]
    assert run.end == {"done": 1, "skipped": 4, "failed": 0, "seconds": 2.5}
    assert read_runs(tmp_path, "extract_crops", "other") == read_runs(tmp_path, "crops") == []


def test_a_line_is_there_at_once_and_one_torn_by_a_kill_is_left_out(tmp_path):
    with Record(tmp_path, header({})) as record:
        record.add("a", None)
        assert [entry.video for entry in read_runs(tmp_path, "extract_crops")[0].entries] == ["a"]
        record.add("b", None)
    data = record.path.read_bytes()
    for cut in range(1, 30):
        record.path.write_bytes(data[:-cut])
        assert [entry.video for entry in read_runs(tmp_path, "extract_crops")[0].entries] == ["a"]
    record.path.write_bytes(data[:-30] + b"\n")
    with pytest.raises(ValueError, match=r"not the record of a run .*remove it to forget that run"):
        read_runs(tmp_path, "extract_crops")


@pytest.mark.parametrize("text", ["", '{"format": 1, "st'])
def test_what_a_run_left_that_was_killed_as_it_began_is_no_record_and_goes_with_the_next(tmp_path, text):
    whole = write_run(tmp_path, {}, "a")
    begun = whole.with_name(f".partial-{whole.name.replace('_extract', '_1_extract')}")
    begun.write_text(text)
    assert [run.path for run in read_runs(tmp_path, "extract_crops")] == [whole]
    write_run(tmp_path, {}, "b")
    assert not begun.exists() and len(read_runs(tmp_path, "extract_crops")) == 2


def test_a_run_that_did_nothing_leaves_no_record(tmp_path):
    with pytest.raises(KeyboardInterrupt), Record(tmp_path, header({})):
        raise KeyboardInterrupt
    assert read_runs(tmp_path, "extract_crops") == []


def test_the_last_word_about_a_video_counts(tmp_path):
    write_run(tmp_path, {}, "a", failed=("b", "c"))
    write_run(tmp_path, {}, "b", failed=("a",))
    found = {video: entry.status for video, entry in last_entries(read_runs(tmp_path, "extract_crops")).items()}
    assert found == {"a": FAILED, "b": DONE, "c": FAILED}


def test_which_settings_made_what_is_there(tmp_path):
    ten, five = {"every": 10, "boxes": {"scale": 1.0}}, {"every": 5, "boxes": {"scale": 1.0}}
    assert find_change([], {"a"}, ten) is None
    write_run(tmp_path, ten, "a", "b")
    runs = read_runs(tmp_path, "extract_crops")
    assert find_change(runs, {"a", "b", "unlisted"}, ten) is None
    assert find_change(runs, set(), five) is None
    assert find_change(runs, {"a"}, {**ten, "new": 1}) is None, "what the earlier code did not know of"
    assert find_change(runs, {"a"}, five) == "1 of the videos there (such as a) were made with every 10, not 5"
    assert "such as z" in find_change(runs, {"z"}, five), "done just before a kill: the latest run made it"
    nested = {"every": 10, "boxes": {"scale": 2.0}}
    assert find_change(runs, {"a"}, nested).endswith("boxes.scale 1.0, not 2.0")
    write_run(tmp_path, five, "a")  # --overwrite, killed after the first
    runs = read_runs(tmp_path, "extract_crops")
    assert find_change(runs, {"a"}, five) is None
    assert find_change(runs, {"a", "b"}, five) == "1 of the videos there (such as b) were made with every 10, not 5"

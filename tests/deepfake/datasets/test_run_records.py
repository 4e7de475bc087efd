"""The records of runs: in the order in which the runs were, whatever the clock said."""

from pathlib import Path

from deepfake.datasets.run_records import Record, find_change, new_header, read_runs
from deepfake.parallel.workers import Summary


def record(root: Path, started: str, every: int, *videos: str) -> None:
    """A run of the step `detect` that did these videos."""
    facts = {"videos": 2, "skipped": 0, "workers": 1, "scheduler": None, "arguments": []}
    header = new_header("detect", "boxes", {"every": every}, **facts)
    header = type(header)(**{**vars(header), "started": started})
    with Record(root, header) as run:
        for video in videos:
            run.add(video, None)
        run.end(Summary(done=len(videos)))


def test_a_clock_that_was_set_back_does_not_turn_runs_round(tmp_path):
    record(tmp_path, "2030-01-01T00:00:00+00:00", 10, "a", "b")
    record(tmp_path, "2026-01-01T00:00:00+00:00", 5, "a")  # a was done again
    runs = read_runs(tmp_path, "detect")
    assert [run.header.number for run in runs] == [1, 2]
    assert [run.header.settings["every"] for run in runs] == [10, 5]
    assert find_change(runs, ["a"], {"every": 5}) is None
    assert "(such as a) were made with every 5, not 10" in find_change(runs, ["a"], {"every": 10})
    # Done just before a kill, a video is in no list: the latest run made it.
    assert find_change(runs, ["c"], {"every": 5}) is None


def test_records_of_older_code_come_first_by_their_times(tmp_path):
    for started, every in (("2026-01-02T00:00:00+00:00", 2), ("2026-01-01T00:00:00+00:00", 1)):
        record(tmp_path, started, every, "a")
    for path in (tmp_path / "runs").iterdir():
        path.write_text(path.read_text().replace(', "number": 1', "").replace(', "number": 2', ""))
    record(tmp_path, "2025-01-01T00:00:00+00:00", 3, "a")
    assert [run.header.settings["every"] for run in read_runs(tmp_path, "detect")] == [1, 2, 3]


def test_the_record_of_another_living_run_is_left_alone(tmp_path):
    """Only what a killed one began goes."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / ".partial-20260101T000000_detect_abc.jsonl").write_text("half")
    record(tmp_path, "2026-01-01T00:00:00+00:00", 1, "a")
    assert len(list((tmp_path / "runs").iterdir())) == 1

"""What the journal of a run keeps, and what comes of a damaged one."""

from pathlib import Path

import pytest

from deepfake.scoring.result_journal import ResultJournal
from deepfake.scoring.results import CRASHED, NO_FACE, VideoResult
from deepfake.storage.journal import Journal, begun_run
from tests.data.results import RESULT, RUN


def _touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_a_journal_keeps_what_lasts(tmp_path):
    _touch(tmp_path, "a.mp4", "b.mp4", "c.mp4")
    videos = [tmp_path / name for name in ("a.mp4", "b.mp4", "c.mp4")]
    out = tmp_path / "out" / "s.csv"
    with ResultJournal(out, RUN, videos) as journal:
        journal.record(videos[0], RESULT)
        journal.record(videos[1], VideoResult(CRASHED))  # another attempt may go better
        journal.record(videos[2], VideoResult(NO_FACE))
    assert ResultJournal(out, RUN, videos).results() == {videos[0]: RESULT, videos[2]: VideoResult(NO_FACE)}
    assert ResultJournal(out, {**RUN, "settings": {"frames": 3}}, videos).results() == {}
    journal.remove()
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize("kept", range(0, 60, 7))
def test_a_journal_cut_anywhere_gives_only_whole_entries(tmp_path, kept):
    out = tmp_path / "s.csv"
    with Journal(out, {"a": 1}) as journal:
        for i in range(3):
            journal.add(f"video {i}", {"score": i})
    data = journal.path.read_bytes()
    journal.path.write_bytes(data[:kept])
    whole = {f"video {i}": {"score": i} for i in range(max(data[:kept].count(b"\n") - 1, 0))}
    again = Journal(out, {"a": 1})
    assert again.read() == whole
    with again:
        again.add("more", 1)
    assert Journal(out, {"a": 1}).read() == {**whole, "more": 1}


def test_a_damaged_journal_is_named(tmp_path):
    with Journal(tmp_path / "s.csv", {}) as journal:
        journal.add("a", 1)
    whole = journal.path.read_text()
    for line in ("damaged", "null", "5", "[1, 2]", '["a"]', '["a", 1, 2]', '["a", NaN]', "[" * 100_000):
        journal.path.write_text(f"{whole}{line}\n")
        with pytest.raises(ValueError, match=r"s\.csv\.journal: damaged .*; remove it to start over"):
            Journal(tmp_path / "s.csv", {}).read()
    for line in ("null", "5", "[]", '{"run": 3}'):
        journal.path.write_text(f"{line}\n")
        assert begun_run(tmp_path / "s.csv") is None
        assert Journal(tmp_path / "s.csv", {}).read() == {}


@pytest.mark.parametrize(
    "change",
    [{"status": "fine"}, {"score": 3}, {"score": "0.5"}, {"faces": [5]}, {"persons": None}, {"wings": 2}, {"size": 3}],
)
def test_a_journal_with_odd_results_is_named(tmp_path, change):
    _touch(tmp_path, "a.mp4")
    out, videos = tmp_path / "s.csv", [tmp_path / "a.mp4"]
    with ResultJournal(out, RUN, videos) as journal:
        journal.add(journal._keys[videos[0]], {**RESULT.to_dict(), **change})
    with pytest.raises(ValueError, match=r"s\.csv\.journal: damaged .*; remove it to start over"):
        ResultJournal(out, RUN, videos).results()

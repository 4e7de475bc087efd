"""Lists that belong to copies of videos."""

from pathlib import Path

import pytest

from deepfake.datasets.copies import copy_lists, copy_of


def test_lists_are_copied_and_nothing_that_was_made_here(tmp_path):
    root = tmp_path / "set"
    lists = {"labels.csv", "splits/train.json", "List.TXT"}
    for name in (*lists, "a.mp4", "folds.csv", "failures/compress_videos.csv", "compressed/labels.csv"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    for out in (tmp_path / "out", root / "compressed"):
        (root / "compressed" / "labels.csv").unlink(missing_ok=True)
        copy_lists(root, out)
        copied = {path.relative_to(out).as_posix(): path.read_text() for path in out.rglob("*") if path.is_file()}
        assert copied == {name: name for name in lists}


def test_a_video_outside_of_the_data_set_has_no_place():
    assert copy_of(Path("/set/real/a.mp4"), Path("/set"), Path("/out")) == Path("/out/real/a.mp4")
    with pytest.raises(ValueError, match="not below /set"):
        copy_of(Path("/other/a.mp4"), Path("/set"), Path("/out"))

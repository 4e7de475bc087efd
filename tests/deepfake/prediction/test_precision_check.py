"""What is said of reduced precision."""

from dataclasses import replace

from deepfake.prediction.precision_check import PORTRAITS, VIDEOS, PrecisionCheck


def test_one_of_a_kind_is_reported_as_one():
    check = PrecisionCheck("fp16", PORTRAITS, 1, 1, 0.00123, 0.00123, 0.00123, "a", kept=True)
    expected = "fp16: scores of 1 face of 1 portrait are 0.0012 from float32's at most (single faces 0.0012)"
    assert check.summary() == expected


def test_what_was_checked_later_is_in_the_summary():
    check = PrecisionCheck("bf16", VIDEOS, 8, 16, 0.001, 0.002, 0.001, "a", kept=True, checked=3)
    within = replace(check, checked_difference=0.0015, farthest="c.mp4")
    assert within.summary().endswith("; 3 videos checked later: 0.0015 at most") and within.warning() is None
    off = replace(check, replaced=1, checked_difference=0.031, farthest="c.mp4")
    scores = "scores of 1 of 3 videos checked in float32 differ by up to 0.031 (c.mp4)"
    assert off.summary().endswith(f"; {scores}")
    assert off.warning().startswith(f"{scores}, more than 0.01: ") and "--precision float32" in off.warning()

"""Videos as cameras, editors, recorders and accidents leave them, with ffmpeg as the judge of what they show."""

import pytest

from deepfake.media.containers import shown_track
from deepfake.media.frames import SpreadFrames
from deepfake.media.video import chosen_frames, open_video
from deepfake.scoring.aggregation import FRAMES_PER_VIDEO
from tests.data.ffmpeg_judge import difference, shown_by_ffmpeg

pytestmark = pytest.mark.slow

CASES = [
    *("02-edit-list", "03-cover-art", "06-sar", "07-flip", "08-late-video", "10-codecs", "13-corrupt", "14-counts"),
    *("15-mediarecorder", "24-interlaced", "25-misc"),
]
LEVELS = 2.0
"""Of gray, on average over a frame."""
AMBIGUOUS = "judged all the same"
"""Hardly a frame is whole: versions of ffmpeg patch them up differently."""


@pytest.mark.parametrize("case", CASES)
def test_the_frames_chosen_are_those_that_ffmpeg_shows(built, case):
    files = [path for path in sorted(built(case).rglob("*")) if path.suffix != ".jpg" and path.is_file()]
    assert len(files) >= 3
    for path in files:
        if path.stat().st_size == 0:
            continue
        video = open_video(path, 1)
        frames = list(chosen_frames(video, [SpreadFrames(FRAMES_PER_VIDEO)]))
        shown = shown_by_ffmpeg(path, f"0:{shown_track(path)[1]}" if path.suffix != ".gif" else "0:v")
        assert len(frames) >= min(len(shown.images), FRAMES_PER_VIDEO) / 3, path
        if not any(AMBIGUOUS in doubt for doubt in video.doubts):
            assert max(difference(frame, shown) for frame in frames) < LEVELS, path
            assert [f.seconds for f in frames] == sorted(f.seconds for f in frames)


def test_wanted_frames_of_ordinary_clips_equal_ffmpeg_s(mini_dfdc):
    clips = sorted(mini_dfdc.rglob("*.mp4"))
    assert len(clips) == 17
    for path in clips:
        shown = shown_by_ffmpeg(path)
        frames = list(chosen_frames(open_video(path, 1), [SpreadFrames(FRAMES_PER_VIDEO)]))
        assert len(frames) == FRAMES_PER_VIDEO
        assert max(difference(frame, shown) for frame in frames) < 1

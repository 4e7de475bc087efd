"""Mutated videos: no crash, no trace, and no frame that ffmpeg does not show."""

import os
from pathlib import Path

import numpy as np
import pytest

from deepfake.media.containers import shown_track
from deepfake.media.video import SpreadFrames, VideoError, chosen_frames, open_video
from deepfake.parallel.pool import stream
from tests.data.clips import ffmpeg
from tests.data.ffmpeg_judge import shown_by_ffmpeg
from tests.data.mutations import mutated

H264 = ["-c:v", "libx264", "-crf", 20, "-pix_fmt", "yuv420p", "-g", 10]
CONTAINERS = {
    "mp4": H264,
    "mov": [*H264, "-movflags", "frag_keyframe+empty_moov"],
    "mkv": H264,
    "avi": ["-c:v", "mpeg4", "-q:v", 4, "-g", 10],
    "ts": H264,
    "flv": ["-c:v", "flv", "-q:v", 4, "-g", 10],
    "webm": ["-c:v", "libvpx", "-b:v", "300k", "-g", 10],
    "wmv": ["-c:v", "wmv2", "-q:v", 4, "-g", 10],
}
FIRST_SEED = int(os.environ.get("DEEPFAKE_FIRST_MUTATION", "0"))
SEEDS = range(FIRST_SEED, FIRST_SEED + int(os.environ.get("DEEPFAKE_MUTATIONS", "25")))
"""Of each container: 200 files in the suite; DEEPFAKE_MUTATIONS=250 makes 2,000 of them."""

BITEXACT = ["-fflags", "+bitexact", "-flags:v", "+bitexact", "-threads", 1]
"""Without random identifiers in the file, so that a seed damages the same bytes in every run."""

AMBIGUOUS = ("judged all the same", "odd angle")
"""Hardly a frame is whole, and two versions of ffmpeg patch them up differently; or ffmpeg turns by another angle."""

CLOSE = 2.0
"""Gray levels."""

ONE_THREAD = ("-threads", "1")
"""As we decode: with several, FFmpeg makes other pictures of some damaged VP8 packets, and reports no error."""


def look(path: Path):
    """What is judged of a file, or why it is not; in a process of its own, which a crash would end."""
    try:
        video = open_video(path, 1)
        frames = [frame.image for frame in chosen_frames(video, [SpreadFrames(6)])]
        yield frames, video.doubts, shown_track(path)[1]
    except VideoError as error:
        yield [], [str(error)], None


@pytest.mark.parametrize("container", CONTAINERS)
def test_mutated_videos(tmp_path, container):
    whole = tmp_path / f"whole.{container}"
    source = "testsrc2=size=96x64:rate=10:duration=3"
    ffmpeg("-f", "lavfi", "-i", source, *CONTAINERS[container], *BITEXACT, whole)
    paths = []
    for seed in SEEDS:
        paths.append(tmp_path / f"{seed}.{container}")
        paths[-1].write_bytes(mutated(whole.read_bytes(), seed))
    looked = {}
    for part in stream(paths, look, 2):
        if part.last:
            assert part.error is None, f"{part.item.name}: {part.error}"
        else:
            looked[part.item] = part.value
    judged, strange = 0, []
    for path in paths:
        frames, said, track = looked[path]
        assert frames or path.name in said[0], "an error names its file"
        if not frames or any(word in doubt for word in AMBIGUOUS for doubt in said):
            continue
        shown = shown_by_ffmpeg(path, f"0:{track}", source=ONE_THREAD)
        if not shown.one_size:
            continue
        judged += 1
        if not all(any(alike(image, other) for other in shown.images) for image in frames):
            strange.append(f"{path.name}: {said}")
    assert not strange, f"ffmpeg shows no such frame: {strange}"
    assert judged >= len(paths) // 6, "most mutations leave something to see"


def alike(image: np.ndarray, other: np.ndarray) -> bool:
    return image.shape == other.shape and float(np.abs(image.astype(int) - other).mean()) < CLOSE

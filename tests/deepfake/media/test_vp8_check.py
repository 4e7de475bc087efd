"""VP8 whose data runs out: FFmpeg hands on frames that it did not fill, and libvpx tells which."""

import av
import pytest

from deepfake.media.frames import SpreadFrames
from deepfake.media.video import chosen_frames, open_video
from tests.data.clips import ffmpeg

FRAMES, KEY_EVERY = 30, 10


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("vp8") / "whole.webm"
    source = f"testsrc2=size=96x64:rate=10:duration={FRAMES // 10}"
    codec = ["-c:v", "libvpx", "-b:v", "300k", "-g", KEY_EVERY, "-auto-alt-ref", 0]
    ffmpeg("-f", "lavfi", "-i", source, *codec, path)
    return path


def cut_packet(source, path, position):
    """A copy in which one packet's data ends early, as its container has it."""
    with av.open(str(source)) as reading, av.open(str(path), "w") as writing:
        stream = reading.streams.video[0]
        out = writing.add_stream_from_template(stream)
        for n, packet in enumerate(p for p in reading.demux(stream) if p.size):
            data = bytes(packet)
            kept = av.Packet(data[: len(data) * 3 // 10] if n == position else data)
            kept.pts, kept.dts, kept.time_base = packet.pts, packet.dts, packet.time_base
            kept.is_keyframe, kept.stream = packet.is_keyframe, out
            writing.mux(kept)
    return path


def look(path):
    video = open_video(path)
    return [frame.index for frame in chosen_frames(video, [SpreadFrames(FRAMES)])], video.doubts


def test_whole_videos_are_judged_whole(whole):
    assert look(whole) == (list(range(FRAMES)), [])


@pytest.mark.parametrize("position", [3, 10, 17])
def test_nothing_is_judged_from_unfilled_frames_to_the_next_key_frame(whole, tmp_path, position):
    indices, doubts = look(cut_packet(whole, tmp_path / "cut.webm", position))
    bad = range(position, (position // KEY_EVERY + 1) * KEY_EVERY)
    assert indices == [n for n in range(FRAMES) if n not in bad]
    assert doubts == [f"damaged: 30 of 30 frames could be read, {len(bad)} of them with errors (not judged)"]

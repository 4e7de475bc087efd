"""Exactly the frames that were asked for, from every kind of file that people have, and clear errors for the rest."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepfake.media.images import write_image
from deepfake.media.video import (
    EveryFrames,
    Frame,
    SpreadFrames,
    VideoError,
    VideoInfo,
    chosen_frames,
    chunked,
    count_frames,
    iter_chosen,
    iter_every,
    iter_frames,
    iter_spread,
    open_video,
    probe,
    spread_indices,
)

FRAMES = 30
VARIABLE_RATE = ["-vf", "setpts='if(lt(N,10),N,N*5)/TB/10'", "-fps_mode", "vfr"]

CLIPS = {
    "plain.mp4": [],
    "name with spaces, größe 人 %03d.mp4": [],
    "quicktime.mov": [],
    "avi.avi": ["-c:v", "mpeg4", "-q:v", 1],
    "matroska.mkv": [],
    "webm.webm": ["-c:v", "libvpx", "-b:v", "1M", "-crf", 4],
    "live.mkv": ["-live", 1],
    "fragments.mp4": ["-movflags", "frag_keyframe+empty_moov", "-g", 7],
    "444.mp4": ["-pix_fmt", "yuv444p"],
    "no b frames.mp4": ["-bf", 0],
    "open gop.mp4": ["-x264-params", "open-gop=1:keyint=8:bframes=3:min-keyint=2"],
    "variable rate.mp4": VARIABLE_RATE,
    "variable rate.mkv": VARIABLE_RATE,
    "variable rate.webm": ["-c:v", "libvpx", "-b:v", "1M", "-crf", 4, *VARIABLE_RATE],
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory, numbered_clip):
    """One numbered clip of each kind, made when first asked for."""
    folder = tmp_path_factory.mktemp("clips")

    def get(name: str):
        path = folder / name
        return path if path.exists() else numbered_clip(path, FRAMES, *CLIPS[name])

    return get


@pytest.mark.parametrize("name", CLIPS)
def test_frames_are_the_right_ones_in_every_container(clips, number_of, name):
    path = clips(name)
    assert [(f.index, number_of(f.image)) for f in iter_every(path, 7)] == [(i, i) for i in range(0, FRAMES, 7)]
    spread = [0, 4, 8, 12, 16, 20, 24, 29]
    assert [(f.index, number_of(f.image)) for f in iter_spread(path, 8)] == [(i, i) for i in spread]
    wanted = [29, 3, 3, 4]
    assert [(f.index, number_of(f.image)) for f in iter_frames(path, wanted)] == [(i, i) for i in (3, 4, 29)]
    assert count_frames(path) == FRAMES


def test_choices_share_a_pass(clips, number_of):
    spread, every = SpreadFrames(3), EveryFrames(10)
    found = [(number_of(f.image), f.index, set(f.chosen_by)) for f in iter_chosen(clips("plain.mp4"), [spread, every])]
    assert found == [
        (0, 0, {spread}),
        (9, 9, {every}),
        (14, 14, {spread}),
        (19, 19, {every}),
        (29, 29, {spread, every}),
    ]


@pytest.mark.parametrize(
    ("frames", "wanted"), [(30, [9, 19, 29]), (29, [9, 19]), (10, [9]), (9, [8]), (1, [0]), (0, [])]
)
def test_every_tenth_frame_as_second_place_counts_them(frames, wanted):
    assert EveryFrames(10).indices(frames) == wanted


@pytest.mark.parametrize("threads", [0, 1, 2])
def test_threads_change_nothing(clips, number_of, threads):
    frames = list(iter_every(clips("open gop.mp4"), 1, threads))
    assert [number_of(f.image) for f in frames] == list(range(FRAMES))


def test_a_header(clips):
    info = probe(clips("plain.mp4"))
    assert (info.frames, info.width, info.height, info.fps) == (FRAMES, 64, 48, 10)


@pytest.mark.parametrize("name", CLIPS)
def test_frames_are_counted_and_not_guessed(clips, name):
    """A guess from duration and rate was 146 for the 30 frames of the variable one."""
    info = probe(clips(name))
    assert info.frames == FRAMES
    assert info.duration == pytest.approx(FRAMES / info.fps, rel=0.1)


def test_every(clips):
    path = clips("plain.mp4")
    assert [f.index for f in iter_every(path, 1)] == list(range(FRAMES))
    assert [f.index for f in iter_every(path, 29)] == [0, 29]
    assert [f.index for f in iter_every(path, 1000)] == [0]
    with pytest.raises(ValueError, match="every=0: expected 1 or more"):
        next(iter_every(path, 0))


def test_frames_beyond_the_end_are_left_out(clips):
    path = clips("plain.mp4")
    assert [f.index for f in iter_frames(path, [28, 29, 30, 500])] == [28, 29]
    assert list(iter_frames(path, [])) == []


def test_pictures_are_rgb_and_each_its_own(tmp_path, ffmpeg):
    path = tmp_path / "red.mp4"
    ffmpeg("-f", "lavfi", "-i", "color=red:size=64x48:rate=10:duration=0.5", "-pix_fmt", "yuv420p", path)
    first, second, *_ = frames = [f.image for f in iter_every(path, 1)]
    assert first.shape == (48, 64, 3) and first.dtype == np.uint8
    assert first[..., 0].min() > 240 and first[..., 1:].max() < 15
    assert not np.shares_memory(first, second)
    first[:] = 0
    assert all(image[..., 0].min() > 240 for image in frames[1:])


# A few frames spread over a video.


@given(st.integers(1, 5000), st.integers(1, 64))
def test_spread_is_the_published_linspace(frames, count):
    indices = spread_indices(frames, count)
    assert indices == sorted(set(np.linspace(0, frames - 1, count).astype(int).tolist()))
    assert indices[0] == 0 and (count == 1 or indices[-1] == frames - 1)
    assert len(indices) <= count


def test_spread_of_nothing():
    assert spread_indices(0, 32) == spread_indices(-1, 32) == spread_indices(10, 0) == []
    assert spread_indices(3, 32) == [0, 1, 2]


def test_a_header_that_counts_too_many_gives_what_decodes(tmp_path, numbered_clip, number_of):
    """A download that was cut: the header at the front still promises all frames."""
    whole = numbered_clip(tmp_path / "whole.mp4", FRAMES, "-movflags", "+faststart", "-g", 1)
    data = whole.read_bytes()
    start = data.index(b"mdat")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: start + (len(data) - start) // 2])
    there = probe(cut).frames
    assert 5 < there < FRAMES

    video = open_video(cut)
    frames = list(chosen_frames(video, [SpreadFrames(5)]))
    assert len(frames) == 5 and frames[-1].index >= there - 2
    assert [number_of(f.image) for f in frames] == [f.index for f in frames]
    assert f"cut short: the header promises {FRAMES} frames, {there} are in the file" in video.doubts


# Odd videos.


def test_one_frame(tmp_path, numbered_clip):
    path = numbered_clip(tmp_path / "one.mp4", 1)
    assert [f.index for f in iter_every(path, 10)] == [0]
    assert [f.index for f in iter_spread(path, 32)] == [0]
    assert [f.index for f in iter_frames(path, range(10))] == [0]


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_rotated_video_comes_upright(tmp_path, ffmpeg, degrees):
    """A phone held sideways stores the turn in a display matrix."""
    plain, turned, expected = (tmp_path / f"{name}.mp4" for name in ("plain", "turned", "expected"))
    source = ["-f", "lavfi", "-i", "testsrc=size=96x64:rate=5:duration=0.6", "-pix_fmt", "yuv420p", "-crf", 10]
    ffmpeg(*source, plain)
    ffmpeg("-display_rotation", degrees, "-i", plain, "-c", "copy", turned)
    ffmpeg("-i", turned, "-crf", 10, expected)  # ffmpeg turns the pixels when it re-encodes.

    (ours, *_), (theirs, *_) = ([f.image for f in iter_every(path, 1)] for path in (turned, expected))
    assert ours.shape == ((96, 64, 3) if degrees != 180 else (64, 96, 3))
    assert np.abs(ours.astype(int) - theirs).mean() < 6
    info = probe(turned)
    assert (info.height, info.width) == ours.shape[:2]


def test_a_picture_is_a_video_of_one_frame(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    write_image(tmp_path / "picture.png", image)
    path = (tmp_path / "picture.png").rename(tmp_path / "picture.PNG")
    assert probe(path) == VideoInfo(frames=1, width=64, height=48, fps=0)
    assert count_frames(path) == 1
    for frames in (
        iter_every(path, 1),
        iter_frames(path, [0, 3]),
        iter_spread(path, 32),
        iter_chosen(path, [EveryFrames(10)]),
    ):
        (frame,) = frames
        assert frame.index == 0 and (frame.image == image).all()
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    for name in ("broken.jpg", "gone.jpg"):
        with pytest.raises(VideoError, match=name):
            probe(tmp_path / name)


# What is no video.

READERS = {
    "probe": probe,
    "count_frames": count_frames,
    "iter_every": lambda path: list(iter_every(path, 10)),
    "iter_frames": lambda path: list(iter_frames(path, [0, 5])),
    "iter_spread": lambda path: list(iter_spread(path, 32)),
}


@pytest.fixture(params=READERS)
def refused(request):
    """`refused(path, message)`: every function that opens a file names it and the reason."""

    def check(path, message):
        with pytest.raises(VideoError, match=message) as caught:
            READERS[request.param](path)
        assert str(path) in str(caught.value)

    return check


def test_missing_and_empty(tmp_path, refused):
    refused(tmp_path / "gone.mp4", "no such file")
    refused(tmp_path, "not a regular file")
    (tmp_path / "empty.mp4").touch()
    refused(tmp_path / "empty.mp4", "the file is empty")


def test_audio_only(tmp_path, ffmpeg, refused):
    ffmpeg("-f", "lavfi", "-i", "sine=duration=0.5", tmp_path / "audio.mp4")
    refused(tmp_path / "audio.mp4", "no video stream that can be decoded")


def test_truncated_before_its_index(tmp_path, clips, refused):
    data = clips("plain.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])
    refused(tmp_path / "cut.mp4", "no video stream that can be decoded")


@pytest.mark.parametrize("content", [b"not a video\n" * 100, b"\x00" * 500, b"x"])
def test_something_else_named_mp4(tmp_path, refused, content):
    (tmp_path / "text.mp4").write_bytes(content)
    refused(tmp_path / "text.mp4", "not a video file")


def test_a_web_page_named_mp4(tmp_path, refused):
    (tmp_path / "page.mp4").write_text("\n<!DOCTYPE html><html>404</html>")
    refused(tmp_path / "page.mp4", "a web page, not a video or picture")


def test_a_broken_picture_named_mp4(tmp_path, refused):
    (tmp_path / "picture.mp4").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\x00" * 99)
    refused(tmp_path / "picture.mp4", "damaged or truncated PNG picture")


def test_a_header_without_frames(tmp_path, ffmpeg):
    path = tmp_path / "none.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=64x48", "-frames:v", 0, "-movflags", "empty_moov", path)
    for name in ("iter_every", "iter_frames", "iter_spread"):
        with pytest.raises(VideoError, match=r"none\.mp4"):
            READERS[name](path)


PLAYLISTS = {
    "concat": "ffconcat version 1.0\nfile plain.mp4\n",
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:3,\nplain.ts\n#EXT-X-ENDLIST\n",
    "dash": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'profiles="urn:mpeg:dash:profile:isoff-main:2011" mediaPresentationDuration="PT3S"><Period><AdaptationSet '
    'mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>plain.mp4</BaseURL></Representation>'
    "</AdaptationSet></Period></MPD>",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
    "a=rtpmap:96 H264/90000\n",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
@pytest.mark.parametrize("suffix", [".mp4", ".m3u8"])
def test_playlists_are_not_followed(tmp_path, clips, ffmpeg, refused, kind, suffix):
    """A file that somebody sent may not make this machine read its other files or the network."""
    (tmp_path / "plain.mp4").write_bytes(clips("plain.mp4").read_bytes())
    ffmpeg("-i", clips("plain.mp4"), "-c", "copy", tmp_path / "plain.ts")
    assert count_frames(tmp_path / "plain.ts") == FRAMES, "the target itself can be read"
    (tmp_path / f"list{suffix}").write_text(PLAYLISTS[kind])
    refused(tmp_path / f"list{suffix}", "not a video file")


# Memory.

PEAK = """
import resource, sys
from pathlib import Path
from deepfake.media.video import iter_every, iter_spread
path = Path(sys.argv[1])
frames = sum(1 for _ in iter_every(path, 1, threads=1)) + sum(1 for _ in iter_spread(path, 32, threads=1))
print(frames, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_length(tmp_path, ffmpeg, project_root):
    peaks = []
    for seconds in (1, 12):
        path = tmp_path / f"{seconds}.mp4"
        source = f"color=gray:size=640x480:rate=25:duration={seconds}"
        ffmpeg("-f", "lavfi", "-i", source, "-pix_fmt", "yuv420p", "-preset", "ultrafast", path)
        output = subprocess.run(
            [sys.executable, "-c", PEAK, path], cwd=project_root, capture_output=True, text=True, check=True
        ).stdout
        frames, kilobytes = map(int, output.split())
        assert frames > 25 * seconds
        peaks.append(kilobytes)
    # 275 frames more would be 250 MB.
    assert peaks[1] - peaks[0] < 40_000


def test_frames_pass_a_few_at_a_time():
    alive, most = 0, 0

    def frames():
        nonlocal alive, most
        for i in range(30):
            alive += 1
            most = max(most, alive)
            yield Frame(i, np.zeros((32, 32, 3), np.uint8))

    for chunk in chunked(frames()):
        alive -= len(chunk)
    assert most == 4


def test_large_frames_pass_one_at_a_time():
    large = [Frame(i, np.broadcast_to(np.uint8(0), (2160, 3840, 3))) for i in range(3)]
    assert [[frame.index for frame in chunk] for chunk in chunked(large)] == [[0], [1], [2]]
    full_hd = [Frame(i, np.broadcast_to(np.uint8(0), (1080, 1920, 3))) for i in range(5)]
    assert [len(chunk) for chunk in chunked(full_hd)] == [4, 1]
    assert [len(chunk) for chunk in chunked(full_hd, 2)] == [2, 2, 1]

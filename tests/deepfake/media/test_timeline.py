"""Frames that are shown, counted and timed from packets, whatever headers say."""

import struct

import pytest

from deepfake.media.frames import SpreadFrames
from deepfake.media.video import chosen_frames, iter_every, open_video
from tests.data.ffmpeg_judge import difference, shown_by_ffmpeg

TWENTY = "testsrc2=size=96x64:rate=10:duration=2"
ENCODED = ["-c:v", "libx264", "-crf", 10, "-pix_fmt", "yuv420p", "-g", 5]


PASSED = ["-fps_mode", "passthrough", "-enc_time_base", "1/10"]


@pytest.fixture
def clip(tmp_path, ffmpeg):
    """`clip(name, *options)`: twenty frames in two seconds, each another picture."""

    def make(name, *options):
        ffmpeg("-f", "lavfi", "-i", TWENTY, *ENCODED, *options, tmp_path / name)
        return tmp_path / name

    return make


def assert_all_shown(path, expected=None):
    """The same frames at the same times as ffmpeg shows."""
    shown = shown_by_ffmpeg(path)
    video = open_video(path)
    assert video.frames == len(shown.images) == (expected or video.frames)
    frames = list(iter_every(path, 1))
    assert [f.index for f in frames] == list(range(video.frames))
    assert [f.seconds for f in frames] == pytest.approx(shown.seconds, abs=0.002)
    assert max(difference(f, shown) for f in frames) < 1
    return video


def test_an_edit_list_hides_what_is_before_it(clip, ffmpeg, tmp_path):
    whole = clip("whole.mp4", "-g", 100, "-keyint_min", 100, "-sc_threshold", 0)
    ffmpeg("-ss", 1.5, "-i", whole, "-c", "copy", tmp_path / "cut.mp4")
    video = assert_all_shown(tmp_path / "cut.mp4", 5)
    assert video.length() == pytest.approx(0.5, abs=0.01) and video.doubts == []


@pytest.mark.parametrize("flags", ["", "+empty_moov", "+empty_moov+default_base_moof"])
def test_fragments_are_counted(clip, flags):
    assert assert_all_shown(clip("fragments.mp4", "-movflags", f"frag_keyframe{flags}"), 20).doubts == []


def test_a_rate_that_varies(clip):
    slower = "setpts='if(lt(N,10),N,10+(N-10)*6)/TB/10'"
    for name in ("vfr.mp4", "vfr.mkv", "vfr.ts"):
        video = assert_all_shown(clip(name, "-vf", slower, "-fps_mode", "passthrough"), 20)
        assert video.info().fps == pytest.approx(19 / video.times()[-1], rel=0.02)


@pytest.mark.parametrize("start", [7.3, -0.4])
def test_late_and_early_starts(clip, start):
    for name in ("start.mp4", "start.mkv", "start.ts"):
        assert_all_shown(clip(name, "-vf", f"setpts=PTS+{start}/TB", "-bf", 2))


def test_a_camera_that_is_switched_on_after_the_sound(tmp_path, ffmpeg):
    late = [
        "-itsoffset",
        30,
        "-f",
        "lavfi",
        "-i",
        TWENTY,
        "-f",
        "lavfi",
        "-i",
        "sine=duration=32",
        "-map",
        0,
        "-map",
        1,
    ]
    for name in ("late.mp4", "late.mkv", "late.webm"):
        codecs = ["-c:v", "libvpx", "-c:a", "libopus"] if name.endswith("webm") else [*ENCODED, "-c:a", "aac"]
        ffmpeg(*late, *codecs, "-b:a", "16k", tmp_path / name)
        video = assert_all_shown(tmp_path / name, 20)
        assert video.times()[0] == pytest.approx(30, abs=0.2)
        assert video.length() == pytest.approx(2, abs=0.01)


def forge_avi(data: bytes, frames: int) -> bytes:
    """An AVI whose headers count `frames`."""
    forged = bytearray(data)
    stream, main, count = data.find(b"strh"), data.find(b"avih"), struct.pack("<I", frames)
    forged[stream + 40 : stream + 44] = count
    forged[main + 24 : main + 28] = count
    return bytes(forged)


@pytest.mark.parametrize("counted", [0, 1, 12, 20, 100_000, 10**9])
def test_a_header_that_counts_wrong_changes_no_frame(clip, tmp_path, counted):
    """Four bytes of a header decided which frames were judged."""
    path = tmp_path / "forged.avi"
    path.write_bytes(forge_avi(clip("clean.avi", "-c:v", "mpeg4", "-q:v", 3).read_bytes(), counted))
    video = assert_all_shown(path, 20)
    promise = f"promises {counted / 10:.1f} seconds, 2.0 are in the file"
    assert [promise in doubt for doubt in video.doubts] == ([True] if counted > 20 else [])


def test_frames_that_an_avi_repeats_are_no_frames(tmp_path, ffmpeg):
    path = tmp_path / "gaps.avi"
    gaps = "setpts='(N+if(gt(N,9),15,0))/TB/10'"
    ffmpeg("-f", "lavfi", "-i", TWENTY, "-vf", gaps, *PASSED, "-c:v", "mpeg4", "-q:v", 2, path)
    video = open_video(path)
    frames = list(iter_every(path, 1))
    assert len(frames) == video.frames >= 20
    assert video.doubts == []
    assert max(difference(f, shown_by_ffmpeg(path)) for f in frames) < 1


def test_hidden_frames_are_not_counted(tmp_path, ffmpeg):
    """VP8's and VP9's alternate references are in the file, and never shown."""
    for codec in ("libvpx", "libvpx-vp9"):
        path = tmp_path / f"{codec}.webm"
        source = "testsrc2=size=96x64:rate=25:duration=2"
        options = ["-auto-alt-ref", 1, "-lag-in-frames", 16, "-b:v", "200k", "-arnr-maxframes", 5]
        ffmpeg("-f", "lavfi", "-i", source, "-c:v", codec, *options, path)
        assert assert_all_shown(path, 50).doubts == []


def test_a_clock_that_starts_again(clip, tmp_path):
    """Recordings that were joined byte by byte play one after the other."""
    part = clip("part.ts").read_bytes()
    (tmp_path / "joined.ts").write_bytes(part + part + part)
    video = open_video(tmp_path / "joined.ts")
    frames = list(iter_every(tmp_path / "joined.ts", 1))
    assert len(frames) == video.frames == 60
    times = [f.seconds for f in frames]
    assert times == sorted(times) and times[-1] == pytest.approx(5.9, abs=0.2)
    for one, again in zip(frames[:20], frames[40:]):
        assert abs(one.image.astype(int) - again.image).mean() < 1


@pytest.mark.parametrize("name", ["cut.mkv", "cut.mp4", "cut.flv", "cut.avi"])
def test_a_file_that_was_cut_is_in_doubt(clip, tmp_path, name):
    options = ["-movflags", "+faststart"] if name.endswith("mp4") else []
    whole = clip(f"whole{name[3:]}", *options, "-vf", "tpad=stop_mode=clone:stop_duration=8").read_bytes()
    path = tmp_path / name
    path.write_bytes(whole[: len(whole) * 6 // 10])
    video = open_video(path)
    frames = list(chosen_frames(video, [SpreadFrames(8)]))
    assert len(frames) >= 7 and frames[-1].seconds > 2
    assert any("cut short: the header promises" in doubt for doubt in video.doubts)


def test_whole_files_are_not_in_doubt(clip, tmp_path, ffmpeg):
    for suffix in ("mp4", "mkv", "avi", "ts", "mpg", "flv", "wmv", "ogv", "webm", "mxf"):
        codec = {"mpg": ["-c:v", "mpeg2video"], "wmv": ["-c:v", "wmv2"], "ogv": ["-c:v", "libtheora"]}
        codec |= {"webm": ["-c:v", "libvpx"], "mxf": ["-c:v", "mpeg2video"], "avi": ["-c:v", "mpeg4"]}
        rate = ["-r", "25"] if suffix in ("mpg", "mxf") else []
        path = clip(f"whole.{suffix}", *codec.get(suffix, []), *rate)
        video = open_video(path)
        assert list(chosen_frames(video, [SpreadFrames(5)]))
        assert video.doubts == [], path

"""Containers known by content, the track that players show, and limits that hold before decoding."""

import os
import struct
import subprocess
import sys

import pytest

from deepfake.media.containers import ReadLimits, VideoError, demuxer_of, shown_track
from deepfake.media.video import SpreadFrames, begins_as_video, chosen_frames, count_frames, iter_frames, open_video

RED, BLUE = "color=red:size=64x48:rate=10:duration=1", "color=blue:size=128x96:rate=10:duration=1"


def is_red(image) -> bool:
    return bool(image[..., 0].mean() > 200 and image[..., 2].mean() < 60)


@pytest.fixture
def two_tracks(tmp_path, ffmpeg):
    """`two_tracks(name, *options)`: a small red track first, then a large blue one."""

    def make(name, *options):
        sources = ["-f", "lavfi", "-i", RED, "-f", "lavfi", "-i", BLUE, "-map", "0:v", "-map", "1:v"]
        if "attached_pic" in options:  # of which MP4 takes pictures alone
            sources += ["-c:v", "mjpeg", "-frames:v:" + options[options.index("attached_pic") - 1][-1], "1"]
        ffmpeg(*sources, "-pix_fmt", "yuv420p", *options, tmp_path / name)
        return tmp_path / name

    return make


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize(
    ("dispositions", "red"),
    [
        (["default", "0"], True),
        (["0", "default"], False),
        (["0", "0"], False),  # none is marked: the largest
        (["default", "default"], False),
        (["default", "attached_pic"], True),
        (["attached_pic", "0"], False),
    ],
)
def test_the_track_that_players_show_is_judged(two_tracks, suffix, dispositions, red):
    if "attached_pic" in dispositions and suffix == "mkv":
        pytest.skip("Matroska keeps covers as attachments")
    if dispositions == ["0", "0"] and suffix != "mkv":
        pytest.skip("MP4 always has a default track")
    first, second = dispositions
    path = two_tracks(f"two.{suffix}", "-disposition:v:0", first, "-disposition:v:1", second)
    video = open_video(path)
    ((frame, _),) = video.nearest([5])
    assert is_red(frame.image) == red
    if "attached_pic" not in dispositions:  # covers are numbered behind
        assert shown_track(path)[1] == (0 if red else 1)
    tracks = [doubt for doubt in video.doubts if "2 video tracks" in doubt]
    assert bool(tracks) == ("attached_pic" not in dispositions), "a cover is no video"


def test_a_file_with_only_a_cover_has_no_video(tmp_path, ffmpeg):
    ffmpeg("-f", "lavfi", "-i", RED, "-frames:v", 1, tmp_path / "cover.png")
    sound = ["-f", "lavfi", "-i", "sine=duration=1", "-i", tmp_path / "cover.png", "-map", 0, "-map", 1]
    ffmpeg(*sound, "-c:v", "png", "-disposition:v", "attached_pic", tmp_path / "song.mp4")
    with pytest.raises(VideoError, match=r"song\.mp4: .*only cover art"):
        open_video(tmp_path / "song.mp4")


HEADS = {
    "mov": [b"\0\0\0\x20ftypisom", b"\0\0\0\x08wide", b"\0\0\0\x18styp"],
    "avi": [b"RIFF\0\0\0\0AVI LIST"],
    "matroska": [b"\x1aE\xdf\xa3\x01"],
    "flv": [b"FLV\x01\x05"],
    "ogg": [b"OggS\0\x02"],
    "mpeg": [b"\0\0\1\xba\x44"],
    "mpegts": [(b"G" + b"\0" * 187) * 6, b"junk" + (b"G" + b"\0" * 187) * 6, (b"\0\0\0\0G" + b"\0" * 187) * 6],
}


@pytest.mark.parametrize(("name", "head"), [(name, head) for name, heads in HEADS.items() for head in heads])
def test_containers_are_known_by_their_first_bytes(name, head):
    assert demuxer_of(head) == name


@pytest.mark.parametrize(
    "head",
    [
        b"#EXTM3U\n",
        b"ffconcat version 1.0\n",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\n",
        b"<MPD>",
        b"RIFF\0\0\0\0WAVE",
        b"G" * 10,
        b"G" + b"x" * 2000,
        b"",
    ],
)
def test_what_leads_elsewhere_is_no_container(head):
    assert demuxer_of(head) is None


@pytest.mark.parametrize("head", [b"aaaastyp", b"\0\0\0\x10moof", b"\0\0\0\x10sidx", b"FLV\x01", b"RIFFaaaaAVI "])
def test_a_playlist_behind_a_container_s_name_stays_unread(tmp_path, head):
    """FFmpeg's own guess would take it for SDP and open the network."""
    sdp = b"\nv=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    sdp += b"m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
    path = tmp_path / "call.mp4"
    path.write_bytes(head + sdp * 20)
    with pytest.raises(VideoError, match=r"call\.mp4: (no video stream|not a video)"):
        open_video(path)


def test_any_name_will_do(tmp_path, numbered_clip, number_of):
    whole = numbered_clip(tmp_path / "a.mp4", 5).read_bytes()
    for name in (
        "no_suffix",
        "a.txt",
        "a.jpg",
        "-dash.mp4",
        os.fsdecode(b"gr\xfc\xdfe.mp4"),
        "new\nline.mp4",
        "file:x",
    ):
        path = tmp_path / name
        path.write_bytes(whole)
        assert begins_as_video(path)
        assert [number_of(f.image) for f in iter_frames(path, [0, 4])] == [0, 4]


def test_transport_streams_may_be_cut_anywhere(tmp_path, numbered_clip, number_of):
    whole = numbered_clip(tmp_path / "a.ts", 20, "-g", 1)
    (tmp_path / "cut.ts").write_bytes(whole.read_bytes()[188 * 40 + 77 :])
    frames = list(chosen_frames(open_video(tmp_path / "cut.ts"), [SpreadFrames(3)]))
    assert number_of(frames[-1].image) == 19 and len(frames) == 3
    numbered_clip(tmp_path / "blu-ray.m2ts", 5, "-f", "mpegts", "-mpegts_m2ts_mode", 1)
    assert count_frames(tmp_path / "blu-ray.m2ts") == 5


def test_pipes_and_devices_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    for path in (tmp_path / "pipe.mp4", tmp_path):
        with pytest.raises(VideoError, match="not a regular file"):
            open_video(path)


def test_a_codec_without_a_decoder_is_named_with_the_cure(tmp_path, numbered_clip):
    data = numbered_clip(tmp_path / "a.mp4", 3).read_bytes()
    at = data.rindex(b"avc1")
    (tmp_path / "odd.mp4").write_bytes(data[:at] + b"zzz9" + data[at + 4 :])
    with pytest.raises(VideoError, match=r"odd\.mp4: no decoder for its codec.*ffmpeg -i"):
        open_video(tmp_path / "odd.mp4")


# Limits.

LIMITED = """
import resource, sys
from pathlib import Path
import deepfake.media.video as video
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    list(video.iter_every(Path(sys.argv[1]), 1, threads=1, limits=video.ReadLimits(pixels=2**20)))
except video.VideoError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("codec", ["png", "mjpeg", "ffv1", "libx264"])
def test_giant_frames_are_refused_before_they_take_memory(tmp_path, ffmpeg, codec, project_root):
    path = tmp_path / "giant.mkv"
    ffmpeg("-f", "lavfi", "-i", "color=gray:size=4000x4000:rate=1:duration=1", "-c:v", codec, path)
    done = subprocess.run([sys.executable, "-c", LIMITED, path], cwd=project_root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    error, kilobytes = done.stdout.splitlines()
    assert "giant.mkv" in error and "limit" in error and "1048576 pixels" in error
    assert int(kilobytes) < 20_000, "a frame takes 16 MB or more"


def test_a_real_giant_is_refused_whatever_its_header_says(tmp_path, ffmpeg):
    """The pixel limit holds in the decoder, too."""
    path = tmp_path / "large.mp4"
    ffmpeg("-f", "lavfi", "-i", "color=gray:size=640x480:rate=5:duration=1", "-pix_fmt", "yuv420p", path)
    lies = path.read_bytes().replace(struct.pack(">HH", 640, 480), struct.pack(">HH", 64, 48))
    (tmp_path / "lies.mp4").write_bytes(lies)
    for name in ("large.mp4", "lies.mp4"):
        with pytest.raises(VideoError, match=name):
            list(chosen_frames(open_video(tmp_path / name, limits=ReadLimits(pixels=64 * 48 * 4)), [SpreadFrames(3)]))


@pytest.mark.parametrize("codec", ["libx264", "mjpeg", "ffv1"])
def test_frames_of_just_the_limit_are_read(tmp_path, ffmpeg, codec):
    """FFmpeg counts padded rows where a limit is set."""
    path = tmp_path / "at the limit.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=1200x800:rate=5:duration=0.4", "-c:v", codec, path)
    assert len(list(chosen_frames(open_video(path, limits=ReadLimits(pixels=1200 * 800)), [SpreadFrames(2)]))) == 2
    with pytest.raises(VideoError, match="1200x800 pixels; the limit is 959999"):
        list(chosen_frames(open_video(path, limits=ReadLimits(pixels=1200 * 800 - 1)), [SpreadFrames(2)]))


def test_too_many_frames_and_too_long_a_time_are_refused(tmp_path, numbered_clip):
    path = numbered_clip(tmp_path / "a.mp4", 30)
    with pytest.raises(VideoError, match=r"a\.mp4: more than 29 frames"):
        open_video(path, limits=ReadLimits(frames=29))
    with pytest.raises(VideoError, match=r"a\.mp4: reading took more than 0 seconds"):
        list(chosen_frames(open_video(path, limits=ReadLimits(seconds=0)), [SpreadFrames(3)]))
    assert open_video(path, limits=ReadLimits(frames=30)).frames == 30

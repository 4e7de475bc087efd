"""deepfake/media/encode.py: frames and videos into H.264, whole or not at all."""

import errno
import io

import numpy as np
import pytest

from deepfake.media.encode import EncodeError, Encoding, _check, transcode, write_video
from deepfake.media.video import VideoError, iter_every, probe


def _frames(count: int, height: int = 48, width: int = 64):
    """Frame i is gray of level 20 + 10 i."""
    return [np.full((height, width, 3), 20 + 10 * i, np.uint8) for i in range(count)]


def _levels(path) -> list[float]:
    return [frame.image.mean() for frame in iter_every(path, 1)]


def test_frames_arrive_in_order_and_number(tmp_path):
    path = tmp_path / "video.mp4"
    assert write_video(path, iter(_frames(7)), 30000 / 1001, crf=10) == 7
    info = probe(path)
    assert (info.frames, info.width, info.height) == (7, 64, 48)
    assert info.fps == pytest.approx(30000 / 1001, abs=1e-6)
    np.testing.assert_allclose(_levels(path), [20 + 10 * i for i in range(7)], atol=2)


def test_odd_sizes_are_kept(tmp_path):
    write_video(tmp_path / "odd.mp4", _frames(3, 47, 63), 25)
    info = probe(tmp_path / "odd.mp4")
    assert (info.height, info.width) == (47, 63)


def test_equal_frames_give_equal_bytes(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, _frames(5), 25)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_a_higher_crf_makes_a_smaller_file(tmp_path):
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 255, (64, 64, 3), dtype=np.uint8) for _ in range(5)]
    sizes = []
    for crf in (15, 40):
        write_video(tmp_path / f"{crf}.mp4", frames, 25, crf)
        sizes.append((tmp_path / f"{crf}.mp4").stat().st_size)
    assert sizes[1] < sizes[0] / 2


def _raise_after_two():
    yield from _frames(2)
    raise RuntimeError("broken source")


@pytest.mark.parametrize(
    "frames, error, message",
    [
        ([], EncodeError, "no frames"),
        ([*_frames(1), *_frames(1, 32, 32)], EncodeError, "frame 1 has shape"),
        (_raise_after_two(), RuntimeError, "broken source"),
    ],
)
def test_a_failed_write_leaves_nothing(tmp_path, frames, error, message):
    with pytest.raises(error, match=message):
        write_video(tmp_path / "video.mp4", frames, 25)
    assert list(tmp_path.iterdir()) == []


def test_what_ffmpeg_says_reaches_the_user(tmp_path):
    """webm cannot hold H.264; ffmpeg gives up while frames are still coming."""
    big = (np.zeros((480, 640, 3), np.uint8) for _ in range(50))
    with pytest.raises(EncodeError, match=r"video\.webm: ffmpeg ended with code .*WebM"):
        write_video(tmp_path / "video.webm", big, 25)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_os_error(tmp_path):
    """The message is ffmpeg's own; a full disk cannot be had here without being root."""
    with pytest.raises(OSError) as caught:
        _check(1, io.BytesIO(b"[out#0] Error writing trailer: No space left on device"), tmp_path / "video.mp4")
    assert caught.value.errno == errno.ENOSPC


@pytest.mark.parametrize("crf", [-1, 52])
def test_crf_out_of_range(tmp_path, crf):
    with pytest.raises(EncodeError, match="expected 0 to 51"):
        write_video(tmp_path / "video.mp4", _frames(2), 25, crf)


def test_transcode_keeps_every_frame(tmp_path):
    write_video(tmp_path / "a.mp4", _frames(9), 25, crf=5)
    transcode(tmp_path / "a.mp4", tmp_path / "out" / "a.mp4", Encoding(32))
    np.testing.assert_allclose(_levels(tmp_path / "out" / "a.mp4"), _levels(tmp_path / "a.mp4"), atol=3)


def test_transcode_of_no_video_names_it_and_leaves_nothing(tmp_path):
    source = tmp_path / "broken.mp4"
    source.write_bytes(b"not a video")
    with pytest.raises(VideoError, match=r"broken\.mp4: not a video file"):
        transcode(source, tmp_path / "out" / "broken.mp4", Encoding(23))
    assert not (tmp_path / "out").exists()


def test_transcode_takes_the_track_that_players_show(tmp_path, ffmpeg):
    """With its interlaced frames made whole."""
    red, blue = (
        ("-f", "lavfi", "-i", "color=red:size=64x48:rate=10:duration=1"),
        ("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=10:duration=1"),
    )
    interlaced = ["-pix_fmt", "yuv420p", "-flags", "+ildct+ilme", "-x264opts", "tff=1"]
    tracks = ["-map", "0:v", "-map", "1:v", "-disposition:v:0", "0", "-disposition:v:1", "default"]
    ffmpeg(*red, *blue, *tracks, *interlaced, tmp_path / "two.mkv")
    transcode(tmp_path / "two.mkv", tmp_path / "copy.mp4", Encoding(1))
    shown, copied = (list(iter_every(tmp_path / name, 1)) for name in ("two.mkv", "copy.mp4"))
    assert len(shown) == len(copied) == 10
    for one, other in zip(shown, copied):
        assert one.image.shape == other.image.shape == (64, 96, 3)
        assert np.abs(one.image.astype(int) - other.image).mean() < 5

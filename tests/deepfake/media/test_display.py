"""Frames as a player shows them, with ffmpeg as the judge."""

import itertools

import numpy as np
import pytest

from deepfake.media.display import display_matrix, is_right_angle, turned
from deepfake.media.video import LIMITS, ReadLimits, VideoError, iter_every, open_video, probe
from tests.data.ffmpeg_judge import difference, shown_by_ffmpeg

SOURCE = ["-f", "lavfi", "-i", "testsrc2=size=96x64:rate=10:duration=0.5"]
DRAWN = "testsrc=size=96x64:rate=10:duration=0.5"  # in RGB
LOSSLESS = ["-c:v", "libx264", "-crf", 4, "-pix_fmt", "yuv420p"]


def assert_as_ffmpeg(path, tolerance=1.0):
    """Every frame, of its size and at its time, within a gray level."""
    shown = shown_by_ffmpeg(path)
    frames = list(iter_every(path, 1))
    assert [round(f.seconds, 3) for f in frames] == [round(s, 3) for s in shown.seconds]
    assert max(difference(frame, shown) for frame in frames) < tolerance
    return frames


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize(("degrees", "mirror"), list(itertools.product([0, 90, 180, 270], ["", "-display_hflip"])))
def test_upright_as_the_display_matrix_says(tmp_path, ffmpeg, degrees, mirror, suffix):
    """Phones held sideways, mirrored front cameras, rigs that hang upside down."""
    plain, turned_file = tmp_path / "plain.mp4", tmp_path / f"turned.{suffix}"
    ffmpeg(*SOURCE, *LOSSLESS, plain)
    ffmpeg("-display_rotation", degrees, *([mirror] if mirror else []), "-i", plain, "-c", "copy", turned_file)
    frames = assert_as_ffmpeg(turned_file)
    assert frames[0].image.shape == ((96, 64, 3) if degrees in (90, 270) else (64, 96, 3))
    info = probe(turned_file)
    assert (info.height, info.width) == frames[0].image.shape[:2]


def test_an_upside_down_picture_is_turned(tmp_path, ffmpeg):
    plain, flipped, turned_file = (tmp_path / f"{name}.mp4" for name in ("plain", "flipped", "turned"))
    ffmpeg(*SOURCE, *LOSSLESS, plain)
    ffmpeg(*SOURCE, "-vf", "vflip", *LOSSLESS, flipped)
    ffmpeg("-display_vflip", "-i", flipped, "-c", "copy", turned_file)
    for one, other in zip(iter_every(plain, 1), iter_every(turned_file, 1)):
        assert np.abs(one.image.astype(int) - other.image).mean() < 2


def test_an_odd_angle_is_in_doubt(tmp_path, ffmpeg):
    plain, turned_file = tmp_path / "plain.mp4", tmp_path / "turned.mp4"
    ffmpeg(*SOURCE, *LOSSLESS, plain)
    ffmpeg("-display_rotation", 100, "-i", plain, "-c", "copy", turned_file)
    video = open_video(turned_file)
    ((frame, _),) = video.nearest([0])
    assert frame.image.shape == (96, 64, 3)
    assert any("odd angle" in doubt for doubt in video.doubts)


def test_matrices_and_their_turns_agree():
    """A point goes where the matrix sends it, for all eight ways to hold a picture."""
    image = np.arange(6).reshape(2, 3)
    height, width = image.shape
    for a, d, swap in itertools.product([1, -1], [1, -1], [False, True]):
        matrix = np.array([[0, a], [d, 0]] if swap else [[a, 0], [0, d]], float)
        assert is_right_angle(matrix)
        moved = turned(image, matrix)
        points = np.array(list(itertools.product(range(width), range(height))))
        sent = points @ matrix.T
        sent -= sent.min(0)
        for (x, y), (new_x, new_y) in zip(points, sent.astype(int)):
            assert moved[new_y, new_x] == image[y, x]
    assert not is_right_angle(np.array([[1.0, 0.5], [-0.5, 1.0]]))


@pytest.mark.parametrize(
    ("stored", "aspect", "shown"),
    [("72x64", "4/3", (64, 96)), ("48x64", "2", (64, 96)), ("96x32", "1/2", (64, 96)), ("96x64", "1", (64, 96))],
)
def test_pixels_become_square(tmp_path, ffmpeg, stored, aspect, shown):
    path = tmp_path / "narrow.mkv"
    # Soft edges: how hard ones are enlarged depends on the version of ffmpeg.
    ffmpeg(*SOURCE, "-vf", f"gblur=4,scale={stored.replace('x', ':')},setsar={aspect}", *LOSSLESS, path)
    frames = assert_as_ffmpeg(path, 4.0)
    assert frames[0].image.shape[:2] == shown
    info = probe(path)
    assert (info.height, info.width) == shown


def test_pixels_that_become_too_many_are_refused(tmp_path, ffmpeg):
    path = tmp_path / "wide.mkv"
    ffmpeg(*SOURCE, "-vf", "setsar=60", *LOSSLESS, path)
    with pytest.raises(VideoError, match=r"wide\.mkv: .*5760x64 pixels.*limit"):
        list(iter_every(path, 1, limits=ReadLimits(pixels=96 * 64 * 59)))


INTERLACED = ["-flags", "+ildct+ilme"]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("h264.mp4", [*LOSSLESS, *INTERLACED, "-x264opts", "tff=1"]),
        ("bottom first.mp4", [*LOSSLESS, *INTERLACED, "-x264opts", "bff=1"]),
        ("bt709.mp4", [*LOSSLESS, *INTERLACED, "-x264opts", "tff=1", "-colorspace", "bt709"]),
        ("mpeg2.ts", ["-c:v", "mpeg2video", "-q:v", 2, *INTERLACED]),
        ("dv.avi", ["-vf", "scale=720:576", "-r", 25, "-c:v", "dvvideo", "-pix_fmt", "yuv420p"]),
    ],
)
def test_interlaced_frames_are_made_whole(tmp_path, ffmpeg, name, options):
    """An interlaced frame cannot be converted as it is: once it left another video's picture in the buffer."""
    path = tmp_path / name
    interlace = "testsrc2=size=96x64:rate=20:duration=0.6,tinterlace=interleave_top,fieldorder=tff"
    ffmpeg("-f", "lavfi", "-i", interlace, *options, path)
    frames = assert_as_ffmpeg(path, 2.0)
    assert len(frames) >= 6


@pytest.mark.parametrize(
    ("name", "filters", "options"),
    [
        ("601", "scale=out_color_matrix=bt601", ["-colorspace", "smpte170m"]),
        ("709", "scale=out_color_matrix=bt709", ["-colorspace", "bt709"]),
        ("2020", "scale=out_color_matrix=bt2020", ["-colorspace", "bt2020nc"]),
        ("full", "scale=out_color_matrix=bt709:out_range=pc", ["-colorspace", "bt709", "-color_range", "pc"]),
        ("limited", "scale=out_color_matrix=bt709:out_range=tv", ["-colorspace", "bt709", "-color_range", "tv"]),
    ],
)
def test_colors_of_every_matrix_and_range(tmp_path, ffmpeg, name, filters, options):
    path = tmp_path / f"{name}.mp4"
    # 4:4:4: nothing is lost in color, so all of them come back as they were drawn.
    ffmpeg("-f", "lavfi", "-i", DRAWN, "-vf", f"{filters},format=yuv444p", "-c:v", "libx264", "-crf", 1, *options, path)
    assert_as_ffmpeg(path)
    drawn = shown_by_ffmpeg(DRAWN, filters="showinfo", source=("-f", "lavfi"))
    for frame, original in zip(iter_every(path, 1), drawn.images):
        assert np.abs(frame.image.astype(int) - original).mean() < 3


@pytest.mark.parametrize(("transfer", "kind"), [("smpte2084", "PQ"), ("arib-std-b67", "HLG")])
def test_high_dynamic_range_is_mapped_and_said(tmp_path, ffmpeg, transfer, kind):
    path = tmp_path / "hdr.mp4"
    color = f"colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc:log-level=none"
    ffmpeg(*SOURCE, "-pix_fmt", "yuv420p10le", "-c:v", "libx265", "-x265-params", color, path)
    video = open_video(path)
    frames = [frame.image for frame, _ in video.nearest(range(5))]
    assert frames[0].shape == (64, 96, 3) and frames[0].std() > 20
    assert [d for d in video.doubts if kind in d and "tone-mapped" in d]


def test_each_frame_comes_in_its_own_size(tmp_path, ffmpeg):
    parts = []
    for size in ("96x64", "64x96"):
        part = tmp_path / f"{size}.ts"
        ffmpeg("-f", "lavfi", "-i", f"testsrc2=size={size}:rate=10:duration=0.5", *LOSSLESS, "-f", "mpegts", part)
        parts.append(part.read_bytes())
    (tmp_path / "both.ts").write_bytes(b"".join(parts))
    shapes = [f.image.shape for f in iter_every(tmp_path / "both.ts", 1)]
    assert shapes == [(64, 96, 3)] * 5 + [(96, 64, 3)] * 5


def test_a_frame_without_side_data_has_no_matrix():
    import av

    assert display_matrix(av.VideoFrame(96, 64, "yuv420p")) is None


def test_the_default_limits_take_8k():
    assert LIMITS.pixels >= 7680 * 4320

"""Damage: what decodes is looked at, what does not is counted, and nothing is made up."""

import os
import subprocess
import sys

import numpy as np
import pytest

from deepfake.media.decoding import Damage
from deepfake.media.frames import EveryFrames, SpreadFrames
from deepfake.media.video import MIN_READABLE_SHARE, VideoError, chosen_frames, iter_every, iter_frames, open_video
from tests.data.ffmpeg_judge import difference, shown_by_ffmpeg

FRAMES = 60
SOURCE = f"testsrc2=size=160x120:rate=10:duration={FRAMES // 10}"
ENCODED = ["-c:v", "libx264", "-crf", 12, "-pix_fmt", "yuv420p", "-g", 12, "-keyint_min", 12, "-sc_threshold", 0]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """`whole(suffix)`: sixty frames, a key frame every twelve."""
    from tests.data.clips import ffmpeg

    folder = tmp_path_factory.mktemp("whole")

    def get(suffix):
        path = folder / f"whole.{suffix}"
        if not path.exists():
            codec = ["-c:v", "mpeg4", "-q:v", 2, "-g", 12] if suffix == "avi" else ENCODED
            ffmpeg("-f", "lavfi", "-i", SOURCE, *codec, path)
        return path

    return get


def damaged(source, path, start: float, end: float, fill=None, seed=0):
    """A copy with the bytes of a share of the file overwritten: by zeros, or by noise."""
    data = bytearray(source.read_bytes())
    first, last = int(len(data) * start), int(len(data) * end)
    noise = np.random.default_rng(seed).integers(0, 256, last - first, np.uint8).tobytes()
    data[first:last] = bytes(last - first) if fill == 0 else noise
    path.write_bytes(data)
    return path


def look(path, count=16):
    video = open_video(path, 1)
    return list(chosen_frames(video, [SpreadFrames(count)])), video


@pytest.mark.parametrize("fill", [0, None], ids=["zeros", "noise"])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi"])
@pytest.mark.parametrize(("start", "end"), [(0.1, 0.3), (0.4, 0.7), (0.1, 0.55)])
def test_what_decodes_is_what_ffmpeg_shows(whole, tmp_path, suffix, start, end, fill):
    path = damaged(whole(suffix), tmp_path / f"damaged.{suffix}", start, end, fill)
    frames, video = look(path)
    shown = shown_by_ffmpeg(path)
    assert len(frames) >= 3
    assert max(difference(frame, shown) for frame in frames) < 2
    assert len({frame.index for frame in frames}) == len(frames)
    assert [doubt for doubt in video.doubts if "could be read" in doubt or "cut short" in doubt]


def test_the_count_is_the_decoder_s(whole, tmp_path):
    path = damaged(whole("mp4"), tmp_path / "damaged.mp4", 0.3, 0.5, 0)
    _, video = look(path, FRAMES)
    (doubt,) = video.doubts
    decoded = len(shown_by_ffmpeg(path).images)
    assert doubt.startswith(f"damaged: {decoded} of {FRAMES} frames could be read")
    assert decoded < FRAMES


def test_lost_frames_are_replaced_by_the_next(whole, tmp_path):
    path = damaged(whole("mp4"), tmp_path / "damaged.mp4", 0.02, 0.25, 0)
    frames, _ = look(path)
    kept, _ = look(whole("mp4"))
    assert frames[0].index > 0, "the first key frame is gone"
    assert {f.index for f in frames} - {f.index for f in kept}, "other frames stand in"
    assert [f.index for f in frames] == sorted(f.index for f in frames)
    exact = {frame.index for frame in iter_frames(path, [f.index for f in frames])}
    assert exact == {f.index for f in frames}, "a second look finds the same frames"


def test_hardly_a_frame_left_is_unreadable(whole, tmp_path):
    path = damaged(whole("mp4"), tmp_path / "ruined.mp4", 0.06, 0.97, None)
    with pytest.raises(VideoError, match=r"ruined\.mp4: .*(only \d+ of \d+ frames could be read|no frame)"):
        look(path)


def test_specks_everywhere_leave_pictures_that_are_judged_with_a_doubt(whole, tmp_path):
    """No run of frames is whole, but a player shows nearly all of them."""
    data = bytearray(whole("mp4").read_bytes())
    start = data.index(b"mdat") + 400
    for at in range(start, len(data) - 4000, (len(data) - start) // 24):
        data[at : at + 3] = b"\xff\x00\xff"
    (tmp_path / "specks.mp4").write_bytes(data)
    frames, video = look(tmp_path / "specks.mp4")
    assert len(frames) >= 8
    assert any(doubt.startswith("damaged: ") and "with errors" in doubt for doubt in video.doubts)


def test_all_programs_see_the_same_of_a_cut_file(whole, tmp_path, ffmpeg):
    """Two decoder threads lose the last frames of this one: a report has to show what was scored with one."""
    fragmented = tmp_path / "fragmented.mov"
    ffmpeg("-i", whole("mp4"), "-c", "copy", "-movflags", "frag_keyframe+empty_moov", fragmented)
    data = fragmented.read_bytes()
    for share in (0.3, 0.45, 0.6, 0.75, 0.9):
        path = tmp_path / "cut.mov"
        path.write_bytes(data[: int(len(data) * share)])
        scored = {frame.index: frame.image for frame in chosen_frames(open_video(path, 1), [SpreadFrames(FRAMES)])}
        seen = {frame.index: frame.image for frame in iter_frames(path, scored)}
        assert seen.keys() == scored.keys()
        assert all((seen[index] == image).all() for index, image in scored.items())


def test_damage_is_described():
    damage = Damage(given={0, 1, 2, 3}, decoded={0, 3}, at_end=True)
    assert (damage.lost, damage.intact) == (2, 2)
    assert damage.describe(4, False) == "damaged: 2 of 4 frames could be read"
    damage.faulty = {3}
    assert damage.describe(4, False) == "damaged: 2 of 4 frames could be read, 1 of them with errors (not judged)"
    assert "judged all the same" in damage.describe(4, True)
    assert Damage(given={0, 1}, decoded={0}, last=0).lost == 0, "the second may still come"
    assert Damage(given={0}, decoded={0}, at_end=True).describe(1, False) == ""
    assert 0 < MIN_READABLE_SHARE < 0.5


@pytest.mark.parametrize("options", [["-bf", 3], ["-bf", 0], ["-bf", 2, "-x264-params", "open-gop=1:b-pyramid=normal"]])
@pytest.mark.parametrize("suffix", ["mp4", "ts", "avi"])
def test_leaving_frames_out_of_decoding_changes_no_picture(tmp_path, ffmpeg, options, suffix):
    path = tmp_path / f"clip.{suffix}"
    ffmpeg("-f", "lavfi", "-i", SOURCE, *ENCODED, *options, path)
    all_frames = {frame.index: frame for frame in iter_every(path, 1)}
    for choice in (SpreadFrames(7), EveryFrames(10), SpreadFrames(1)):
        for frame in chosen_frames(open_video(path, 1), [choice]):
            assert (frame.image == all_frames[frame.index].image).all()
            assert frame.seconds == all_frames[frame.index].seconds


POISONED = """
import hashlib, sys
from pathlib import Path
from deepfake.media.video import SpreadFrames, VideoError, chosen_frames, open_video
for name in sys.argv[1:]:
    digest = hashlib.sha256()
    try:
        for frame in chosen_frames(open_video(Path(name), 1), [SpreadFrames(12)]):
            digest.update(frame.image.tobytes())
    except VideoError as error:
        digest.update(str(error).encode())
    print(name, digest.hexdigest())
"""


def test_no_buffer_is_handed_on_that_was_not_filled(whole, tmp_path, ffmpeg, project_root):
    """Whatever fresh memory holds, and whatever was read before, the pictures are the same."""
    paths = [whole("mp4"), damaged(whole("mp4"), tmp_path / "damaged.mp4", 0.3, 0.5)]
    paths.append(tmp_path / "interlaced.mp4")
    ffmpeg("-f", "lavfi", "-i", SOURCE, *ENCODED, "-flags", "+ildct+ilme", "-x264opts", "tff=1", paths[-1])
    paths.append(tmp_path / "wide.mkv")
    ffmpeg("-f", "lavfi", "-i", SOURCE, "-vf", "setsar=3/2", *ENCODED, paths[-1])
    paths.append(damaged(whole("avi"), tmp_path / "damaged.avi", 0.4, 0.6))
    answers = set()
    for pattern, order in (("0", 1), ("85", -1), ("170", 1)):
        environment = {**os.environ, "MALLOC_PERTURB_": pattern, "PYTHONPATH": str(project_root)}
        command = [sys.executable, "-c", POISONED, *map(str, paths[::order])]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        answers.add(tuple(sorted(done.stdout.splitlines())))
    assert len(answers) == 1

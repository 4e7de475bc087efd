"""preprocessing/compress_videos.py: which CRF, and a data set of the same layout."""

import json

import numpy as np
import pytest

from deepfake.datasets.data_root import DataRoot
from deepfake.datasets.reading import read_dataset
from deepfake.media.video import count_frames, iter_every
from preprocessing.compress_videos import CRFS, draw_crf
from tests.data.clips import draw, ffmpeg, gradient, write_metadata

NAMES = ["a.mp4", "ü 1.mp4", "b.mp4"]


@pytest.fixture
def data_root(tmp_path):
    """Three small noisy clips in one part, almost lossless; one has sound."""
    part = tmp_path / "data" / "dfdc_train_part_3"
    part.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 60, (8, 48, 64, 3))
    frames = (gradient(8, 48, 64) // 2 + noise).astype(np.uint8)
    for i, name in enumerate(NAMES):
        draw(part / name, np.roll(frames, i, 0), 25, "-c:v", "libx264", "-crf", "5", "-pix_fmt", "yuv420p")
    ffmpeg("-i", str(part / "a.mp4"), "-f", "lavfi", "-i", "sine=duration=0.3", "-c:v", "copy", str(part / "s.mp4"))
    (part / "s.mp4").replace(part / "a.mp4")
    write_metadata(part, NAMES[:2], {"b.mp4": "a.mp4"})
    return tmp_path / "data"


def test_the_crf_follows_from_id_and_seed_alone():
    draws = {f"video{i}": draw_crf(f"video{i}", 777) for i in range(300)}
    assert {name: draw_crf(name, 777) for name in reversed(list(draws))} == draws
    counts = [list(draws.values()).count(crf) for crf in CRFS]
    assert sum(counts) == 300 and min(counts) > 60
    assert {name: draw_crf(name, 778) for name in draws} != draws
    # The same on every machine and in every run.
    assert [draw_crf(name, 777) for name in ("aaa", "bbb", "ccc", "ddd", "eee")] == [23, 28, 32, 23, 28]


def test_a_data_set_of_the_same_layout(data_root, run_step):
    originals = {path: path.read_bytes() for path in data_root.rglob("*.mp4")}
    done = run_step("compress_videos", data_root, "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert "3 done, 0 skipped" in done.stdout
    assert {path: path.read_bytes() for path in data_root.rglob("dfdc*/*.mp4") if path in originals} == originals
    copies = read_dataset(DataRoot(data_root).compressed)
    assert [pair[1].video_id for pair in copies.pairs] == ["b"]
    for video in copies.videos.values():
        original = data_root / video.path.relative_to(data_root / "compressed")
        assert video.path.stat().st_size < original.stat().st_size / 1.5
        assert count_frames(video.path) == 8
        before, after = ([f.image.mean() for f in iter_every(path, 1)] for path in (original, video.path))
        np.testing.assert_allclose(after, before, atol=2)  # frame N is still frame N
    # The copies are no part of the original data set.
    assert set(read_dataset(data_root).videos) == {"a", "b", "ü 1"}


def test_one_worker_and_two_give_the_same_files_and_a_second_run_only_what_is_missing(data_root, run_step, tmp_path):
    for workers in ("1", "2"):
        out = tmp_path / f"out{workers}"
        assert run_step("compress_videos", data_root, "--workers", workers, "--out-dir", str(out)).returncode == 0
    files = {path.relative_to(tmp_path / "out1"): path.read_bytes() for path in (tmp_path / "out1").rglob("*.mp4")}
    assert len(files) == 3
    assert files == {p.relative_to(tmp_path / "out2"): p.read_bytes() for p in (tmp_path / "out2").rglob("*.mp4")}
    (tmp_path / "out2" / "dfdc_train_part_3" / "b.mp4").unlink()
    again = run_step("compress_videos", data_root, "--out-dir", str(tmp_path / "out2"))
    assert "1 done, 2 skipped" in again.stdout


def test_the_originals_are_never_the_output(data_root, run_step):
    done = run_step("compress_videos", data_root, "--out-dir", str(data_root / "x" / ".."), "--overwrite")
    assert done.returncode == 2 and "holds the originals" in done.stderr and "Traceback" not in done.stderr


def test_a_broken_video_is_listed_and_the_others_are_done(data_root, run_step):
    (data_root / "dfdc_train_part_3" / "b.mp4").write_bytes(b"broken")
    done = run_step("compress_videos", data_root)
    assert done.returncode == 3 and "2 done" in done.stdout and "1 failed" in done.stdout
    assert "b.mp4" in DataRoot(data_root).failures_file("compress_videos").read_text()
    metadata = data_root / "compressed" / "dfdc_train_part_3" / "metadata.json"
    assert set(json.loads(metadata.read_text())) == set(NAMES)
    assert sorted(path.name for path in metadata.parent.iterdir()) == ["a.mp4", "metadata.json", "ü 1.mp4"]


LISTS = {
    "dash": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT1S"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1" '
    'bandwidth="1"><BaseURL>{}</BaseURL></Representation></AdaptationSet></Period></MPD>',
    "concat": "ffconcat version 1.0\nfile {}\n",
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n",
}


@pytest.mark.parametrize("kind", LISTS)
def test_a_playlist_leads_to_no_other_file(data_root, run_step, kind):
    """A manifest that is called a video would copy what it names into the data set."""
    private = data_root / "private.mp4"
    private.write_bytes((data_root / "dfdc_train_part_3" / "a.mp4").read_bytes())
    (data_root / "dfdc_train_part_3" / "b.mp4").write_text(LISTS[kind].format("../private.mp4"))
    done = run_step("compress_videos", data_root)
    assert done.returncode == 3 and "2 done" in done.stdout and "1 failed" in done.stdout
    assert "not a video file" in DataRoot(data_root).failures_file("compress_videos").read_text()
    assert not (data_root / "compressed" / "dfdc_train_part_3" / "b.mp4").exists()

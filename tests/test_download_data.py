"""download_data.sh with a stand-in for Kaggle's client, which needs an account: the command line is the real one's."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from deepfake.datasets.data_root import DataRoot, part_folder
from deepfake.datasets.dfdc_parts import PartError, has_videos, listed_size, remove_done_videos, unpack_part
from deepfake.faces.boxes import BoxFile, Face, write_boxes
from tests.data.clips import draw, gradient, write_metadata

pytestmark = pytest.mark.slow

# Serves FILES; a file named in FAIL_ONCE is cut off in the middle at first, and goes on from there.
CLIENT = """#!/usr/bin/env python3
import os, sys
from pathlib import Path
files, words = Path(os.environ["FILES"]), sys.argv[1:]
with open(files / "log", "a") as log:
    print(*words, file=log)
assert words[words.index("-c") + 1] == "deepfake-detection-challenge"
if words[:2] == ["competitions", "files"]:
    print("name,totalBytes,creationDate")
    for path in sorted(files.glob("*.zip")):
        print(f"{path.name},{path.stat().st_size},2019-12-11")
    sys.exit()
assert words[:2] == ["competitions", "download"]
name, folder = words[words.index("-f") + 1], Path(words[words.index("-p") + 1])
data = (files / name).read_bytes()
had = (folder / name).stat().st_size if (folder / name).exists() else 0
marker = files / "failed"
if name == os.environ.get("FAIL_ONCE") and not marker.exists():
    marker.touch()
    (folder / name).write_bytes(data[: len(data) // 2])
    sys.exit("connection reset")
with open(files / "log", "a") as log:
    print("from", had, file=log)
with open(folder / name, "ab") as file:
    file.write(data[had:])
"""


def archive(path: Path, videos: dict[str, bytes], metadata: dict | None = None) -> None:
    if metadata is None:
        metadata = {name: {"label": "REAL", "split": "train"} for name in videos}
    with zipfile.ZipFile(path, "w") as file:
        for name, content in videos.items():
            file.writestr(f"{path.stem}/{name}", content)
        file.writestr(f"{path.stem}/metadata.json", json.dumps(metadata))


@pytest.fixture
def files(tmp_path) -> Path:
    folder = tmp_path / "at kaggle"
    folder.mkdir()
    draw(tmp_path / "video.mp4", gradient(3, 64, 96))
    video = (tmp_path / "video.mp4").read_bytes()
    archive(folder / "dfdc_train_part_00.zip", {"a.mp4": video, "b.mp4": video})
    archive(folder / "dfdc_train_part_01.zip", {"c.mp4": video, "broken.mp4": b"not a video"})
    client = tmp_path / "bin" / "kaggle"
    client.parent.mkdir()
    client.write_text(CLIENT)
    client.chmod(0o755)
    return folder


@pytest.fixture
def download(files, project_root, tmp_path):
    def run(*words: str, **more: str) -> subprocess.CompletedProcess:
        path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "FILES": str(files), "PYTHON": sys.executable, **more}
        command = ["bash", str(project_root / "download_data.sh"), str(tmp_path / "data set"), *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    return run


def test_a_download_that_broke_off_goes_on_and_parts_appear_whole(download, files, tmp_path):
    root = tmp_path / "data set"
    first = download("0", "1", FAIL_ONCE="dfdc_train_part_01.zip")
    assert first.returncode == 1
    assert "dfdc_train_part_01.zip cannot be downloaded; run the same command again to continue" in first.stderr
    assert sorted(path.name for path in (root / "dfdc_train_part_0").iterdir()) == ["a.mp4", "b.mp4", "metadata.json"]
    assert not (root / "dfdc_train_part_1").exists()
    second = download("0", "1")
    assert second.returncode == 0, second.stderr
    size = (files / "dfdc_train_part_01.zip").stat().st_size
    assert "dfdc_train_part_0: there already" in second.stdout
    assert f"dfdc_train_part_1: 2 videos, {size} bytes as listed" in second.stdout
    assert (files / "log").read_text().splitlines()[-1] == f"from {size // 2}"
    assert sorted(path.name for path in root.iterdir()) == ["dfdc_train_part_0", "dfdc_train_part_1"]


def test_part_by_part_videos_go_when_they_are_done(download, tmp_path):
    root = tmp_path / "data set"
    for video in ("c", "broken"):  # no face is to be found in these: boxes and landmarks are there already
        write_boxes(DataRoot(root).boxes_file(video), BoxFile({0: [Face((8.0, 20.0, 38.0, 60.0))]}, (64, 96)))
        (root / "landmarks" / video).mkdir(parents=True)
    arguments = {"PREPROCESS": "1", "FOLDS_ARGS": "--include-unpaired", "DETECT_ARGS": "--device cpu", "WORKERS": "1"}
    done = download("1", **arguments)
    assert done.returncode == 3, done.stderr
    assert "dfdc_train_part_1: 1 videos removed, 1 left that are not done" in done.stdout
    left = sorted(path.name for path in (root / "dfdc_train_part_1").iterdir())
    assert left == ["broken.mp4", "metadata.json"], "what failed stays, to be looked at"
    assert [path.name for path in (root / "crops" / "c").iterdir()] == ["0_0.png"]
    (root / "dfdc_train_part_1" / "broken.mp4").unlink()
    again = download("1", **arguments)
    assert (again.returncode, again.stdout) == (0, "dfdc_train_part_1: there already\n")


def test_only_videos_that_every_step_has_done_are_removed(tmp_path):
    layout, part = DataRoot(tmp_path), part_folder(tmp_path, 3)
    part.mkdir()
    names = ["real", "fake", "new fake", "orphan", "undone"]
    for name in names:
        (part / f"{name}.mp4").touch()
    fakes = {"fake.mp4": "real.mp4", "new fake.mp4": "real.mp4", "orphan.mp4": "nobody.mp4"}
    write_metadata(part, ["real.mp4", "undone.mp4"], fakes)
    layout.boxes.mkdir()
    layout.boxes_file("real").touch()
    for folder in ("crops/real", "crops/fake", "crops/new fake", "landmarks/real", "diffs/fake"):
        (tmp_path / folder).mkdir(parents=True)
    assert remove_done_videos(tmp_path, 3) == (2, 3)
    assert {path.stem for path in part.glob("*.mp4")} == {"new fake", "orphan", "undone"}
    assert has_videos(tmp_path, 3)
    assert remove_done_videos(tmp_path, 3) == (0, 3)


def test_a_damaged_archive_is_reported_and_leaves_no_part(download, files, tmp_path):
    whole = (files / "dfdc_train_part_00.zip").read_bytes()
    at = whole.index(b"mdat") + 8
    (files / "dfdc_train_part_00.zip").write_bytes(whole[:at] + b"!!!!" + whole[at + 4 :])
    done = download("0")
    assert done.returncode == 1
    assert "dfdc_train_part_00.zip: damaged (Bad CRC-32" in done.stderr and "download it again" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in (tmp_path / "data set").iterdir()] == ["downloads"]


@pytest.mark.parametrize(
    ("videos", "metadata", "message"),
    [
        ({"a.mp4": b"x"}, {"a.mp4": {"label": "REAL"}, "b.mp4": {"label": "REAL"}}, "names b.mp4, which is missing"),
        ({"a.mp4": b""}, None, "names a.mp4, which is missing or empty"),
        ({"a.mp4": b"x"}, {"a.mp4": {"label": "MAYBE"}}, "label 'MAYBE'"),
        ({".hidden": b"x"}, {}, "not a plain file name"),
    ],
)
def test_parts_that_are_not_whole(tmp_path, videos, metadata, message):
    archive(tmp_path / "p.zip", videos, metadata)
    with pytest.raises(PartError, match=message):
        unpack_part(tmp_path / "p.zip", tmp_path / "part")
    assert [path.name for path in tmp_path.iterdir()] == ["p.zip"]


def test_the_size_must_be_the_listed_one(tmp_path):
    archive(tmp_path / "p.zip", {"a.mp4": b"x"})
    with pytest.raises(PartError, match=r"bytes, but 5 are listed; download it again"):
        unpack_part(tmp_path / "p.zip", tmp_path / "part", 5)
    listing = "Next Page Token = x\nname,totalBytes,creationDate\np.zip,123,2019\nq.zip,10GB,2019\n"
    assert [listed_size(listing, name) for name in ("p.zip", "q.zip", "r.zip")] == [123, None, None]
    (tmp_path / "cut.zip").write_bytes((tmp_path / "p.zip").read_bytes()[:-5])
    with pytest.raises(PartError, match="damaged"):
        unpack_part(tmp_path / "cut.zip", tmp_path / "part")


def test_usage(download, project_root):
    script = str(project_root / "download_data.sh")
    for words, code in (["--help"], 0), ([], 2), (["--nonsense"], 2):
        done = subprocess.run(["bash", script, *words], capture_output=True, text=True)
        assert done.returncode == code
        assert (done.stdout or done.stderr).startswith("usage: bash download_data.sh DATA_ROOT [PART...]")
    assert "part '1e3': expected a number" in download("1e3").stderr
    missing = download("0", KAGGLE="no-such-client")
    assert missing.returncode == 2 and "no-such-client is not installed" in missing.stderr

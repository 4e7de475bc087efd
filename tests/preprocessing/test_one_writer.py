"""Every program that writes a folder is refused while another process writes there, and harms nothing."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deepfake.datasets.folds import FoldRow, write_folds
from preprocessing import (
    compress_videos,
    detect_original_faces,
    extract_aligned_faces,
    extract_crops,
    extract_images,
    generate_diffs,
    generate_face_lists,
    generate_folds,
    generate_landmarks,
    make_sample_data,
    pack_shards,
    preprocess_videos,
)

HOLDER = """
import sys, time
from pathlib import Path
from deepfake.storage.locks import writing_folder
with writing_folder(Path(sys.argv[1])):
    print(flush=True)
    time.sleep(600)
"""

ROOT = "DATA_ROOT"
"""Stands for the data root; OUT for another folder. Each program is refused in the one named first."""
OUT = "OUT"

COMMANDS: list[tuple[str, Callable[[], int], list[str]]] = [
    (ROOT, detect_original_faces.main, ["--root-dir", ROOT]),
    (ROOT, extract_crops.main, ["--root-dir", ROOT]),
    (ROOT, generate_landmarks.main, ["--root-dir", ROOT]),
    (ROOT, generate_diffs.main, ["--root-dir", ROOT]),
    (ROOT, extract_images.main, ["--root-dir", ROOT]),
    (ROOT, preprocess_videos.main, ["--root-dir", ROOT]),
    (ROOT, generate_folds.main, ["--root-dir", ROOT, "--split-by", "original", "--n-splits", "2"]),
    (ROOT, compress_videos.main, ["--root-dir", ROOT, "--out-dir", OUT]),
    (OUT, compress_videos.main, ["--root-dir", ROOT, "--out-dir", OUT]),
    (OUT, extract_aligned_faces.main, [ROOT, OUT, "--detector", "mtcnn"]),
    (OUT, generate_face_lists.main, [OUT, "--metadata", ROOT]),
    (OUT, pack_shards.main, ["--root-dir", ROOT, "--out", OUT]),
    (OUT, make_sample_data.main, ["--out", OUT]),
]


@pytest.fixture(scope="module")
def places(small_parts, project_root, tmp_path_factory) -> Iterator[dict[str, tuple[Path, int]]]:
    """The folders, and the processes that write them all the time."""
    root, out = tmp_path_factory.mktemp("root"), tmp_path_factory.mktemp("out")
    for part in small_parts.iterdir():
        (root / part.name).symlink_to(part)
    write_folds(root / "folds.csv", [FoldRow("d0", "0_0.png", 0, "d0", 0, 0)], 0)
    started = {}
    for name, folder in ((ROOT, root), (OUT, out)):
        command = [sys.executable, "-c", HOLDER, str(folder)]
        started[name] = subprocess.Popen(command, cwd=project_root, stdout=subprocess.PIPE)
        started[name].stdout.readline()
    yield {ROOT: (root, started[ROOT].pid), OUT: (out, started[OUT].pid)}
    for process in started.values():
        process.kill()
        process.wait()


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("refused", "main", "arguments"), COMMANDS, ids=lambda value: getattr(value, "__module__", None)
)
def test_a_second_writer_is_refused(refused, main, arguments, places, run_main, tmp_path):
    folder, pid = places[refused]
    here = {ROOT: str(places[ROOT][0]), OUT: str(tmp_path / "out"), refused: str(folder)}
    if refused == OUT:  # only there somebody writes
        root = tmp_path / "root"
        root.mkdir()
        for entry in places[ROOT][0].iterdir():
            if not entry.name.startswith("."):
                (root / entry.name).symlink_to(entry)
        here[ROOT] = str(root)
    before = content(folder)
    code, _, err = run_main(main, *(here.get(word, word) for word in arguments))
    assert code == 2
    assert err.splitlines()[-1].startswith(f"error: {folder} is being written by process {pid} ("), err
    assert content(folder) == before
    assert json.loads((folder / ".writer.lock").read_text())["pid"] == pid

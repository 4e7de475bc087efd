"""The benchmark of prediction runs on a real clip and ends with ratios to the plain way."""

import subprocess
import sys

import pytest

from tests.data.clips import cut
from tests.data.predicting import tiny_checkpoint

pytestmark = pytest.mark.slow

WAYS = ("torch bf16", "openvino float32")


@pytest.fixture(scope="module")
def bench(mini_dfdc, project_root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    cut(mini_dfdc / "dfdc_train_part_1" / "d0.mp4", folder / "clip.mp4", 4)
    tiny_checkpoint(folder / "tiny")

    def run(*arguments):
        command = [sys.executable, "bench/predict.py", str(folder / "clip.mp4"), "--frames", "2", "--workers", "1"]
        command += ["--weights-dir", str(folder), "--models", "tiny", "--device", "cpu", *arguments]
        return subprocess.run(command, cwd=project_root, capture_output=True, text=True)

    return run


def test_prints_stages_and_ways_against_the_plain_one(bench):
    done = bench("--ways", *WAYS)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for stage in ("decoding (the floor)", "detection", "cropping", "network"):
        (line,) = (line for line in lines if line.startswith(stage))
        plain, ours, ratio = map(float, line[len(stage) :].split())
        assert plain >= 0 and ours >= 0 and ratio > 0
    assert any(line.startswith("bound by") for line in lines)
    rows = {name: line[len(name) :].split() for line in lines for name in ("plain", *WAYS) if line.startswith(name)}
    assert rows.keys() == {"plain", *WAYS}
    assert rows["plain"][2:4] == ["1.00", "0"]
    for name in WAYS:
        assert float(rows[name][3]) < (0.02 if "bf16" in name else 1e-4)
        assert float(rows[name][4]) > 50  # MiB
    plain, other = (float(rows[name][0]) for name in ("plain", WAYS[0]))
    assert float(rows[WAYS[0]][2]) == pytest.approx(plain / other, rel=0.05)


def test_batches_are_swept(bench):
    done = bench("--batches", "--ways", "torch float32")
    assert done.returncode == 0, done.stderr
    assert "torch float32, 1 threads, seconds a face by batch size:     1:" in done.stdout


def test_a_missing_video_is_reported(bench, tmp_path):
    done = bench(str(tmp_path / "none.mp4"))
    assert done.returncode == 2
    assert "none.mp4" in done.stderr and "Traceback" not in done.stderr

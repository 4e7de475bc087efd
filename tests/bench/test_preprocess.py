"""The preprocessing benchmark runs on real clips and ends with the ratio."""

import re
import subprocess
import sys

from tests.clips import cut, write_metadata


def test_prints_every_step_and_the_ratio_to_the_floor(mini_dfdc, project_root, tmp_path):
    part = tmp_path / "dfdc_train_part_1"
    part.mkdir()
    for name in ("d0", "d0_d3"):
        cut(mini_dfdc / part.name / f"{name}.mp4", part / f"{name}.mp4", 11)
    write_metadata(part, ["d0.mp4"], {"d0_d3.mp4": "d0.mp4"})
    before = sorted(tmp_path.rglob("*"))
    command = [sys.executable, "bench/preprocess.py", str(tmp_path), "--workers", "1"]
    done = subprocess.run(command, cwd=project_root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "(22 frames)" in lines[1]
    seconds = {line.split()[0]: float(line.split()[1]) for line in lines[2:-2]}
    assert list(seconds) == [
        "detect_original_faces",
        "extract_crops",
        "generate_landmarks",
        "generate_diffs",
        "generate_folds",
    ]
    assert re.fullmatch(r"ratio to floor: \d+\.\d", lines[-1])
    floor = float(re.search(r"decode all\s+(\S+)", lines[1])[1])
    assert float(lines[-1].split()[-1]) > sum(seconds.values()) / (floor + 0.01) * 0.9
    assert sorted(tmp_path.rglob("*")) == before  # the data set stays as it is

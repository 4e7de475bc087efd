"""The loader's benchmark reads every source and ends with the augmentation's ratio."""

import re
import subprocess
import sys

import pytest

from tests.data.training_sets import make_data_root

pytestmark = pytest.mark.slow


def test_prints_every_source_and_the_augmentations_ratio(project_root, tmp_path):
    root = make_data_root(tmp_path / "data", identities=2)
    before = sorted(root.rglob("*"))
    command = [sys.executable, "bench/loader.py", str(root), "--samples", "8", "--size", "64"]
    done = subprocess.run(command, cwd=project_root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    head, *sources, last = done.stdout.splitlines()
    assert head.split() == ["source", "MiB", "samples/s", "ms/sample", "read", "augment", "rest", "collate"]
    assert [line.split()[0] for line in sources] == ["png", "jpg", "webp", "shards"]
    for line in sources:
        _, _, rate, milliseconds, *shares = line.split()
        assert abs(float(rate) * float(milliseconds) / 1000 - 1) < 0.05
        assert 95 <= sum(int(share.rstrip("%")) for share in shares) <= 125
    assert re.search(r"crops of 80 pixels \(median\) to 64: \S+ ms; .* \d+\.\d\d times that$", last)
    assert sorted(root.rglob("*")) == before

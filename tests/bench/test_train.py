"""The training benchmark prints both ways, the loader, and figures that belong together."""

import json
import re
import subprocess
import sys

import pytest
import torch

from bench import training_ways
from tests.data.training_sets import TINY, make_data_root

pytestmark = pytest.mark.slow


def bench(project_root, *arguments):
    command = [sys.executable, "bench/train.py", *map(str, arguments), "--device", "cpu", "--workers", "1"]
    return subprocess.run(
        [*command, "--steps", "2", "--repeat", "1"], cwd=project_root, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("own_data", [True, False])
def test_prints_both_ways_and_the_loader(project_root, tmp_path, own_data):
    config = tmp_path / "tiny.json"
    config.write_text(json.dumps(TINY))
    data = ("--data-dir", make_data_root(tmp_path / "data")) if own_data else ()
    done = bench(project_root, config, "--peak-tflops", "0.5", *data)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    flops = float(re.fullmatch(r"test_efficientnet at 64, batch 4 in 1 part\(s\), CPU, .*, (\S+) GFLOPs an image",
                               lines[0])[1])  # fmt: skip
    rows = {line.split()[0]: line.split()[1:] for line in lines[2:4]}
    assert list(rows) == ["plain", "settings"]
    plain, own = (float(row[0]) for row in rows.values())
    assert rows["plain"][1] == "1.00" and float(rows["settings"][1]) == pytest.approx(own / plain, abs=0.02)
    assert flops > 0
    for images, _, memory, achieved, used in rows.values():
        assert memory == "-", "not known on a CPU"
        assert float(achieved) == pytest.approx(float(images) * flops / 1e3, abs=0.0011, rel=0.1)
        assert used.endswith("%")
    assert "peak: 0.5 TFLOPS" in lines[4]
    assert float(re.match(r"loader alone: (\S+) images/s with 1 process", lines[5])[1]) > 0


def test_flops_are_those_of_the_layers():
    """A convolution without padding: 2 * outputs * inputs a pixel forward, twice that backward but for the image's."""
    network = torch.nn.Conv2d(3, 4, 1)
    batch = training_ways.random_batch(4, 8)

    def loss(two):
        assert len(two) == 2
        return network(two.images.float()).sum()

    forward = 2 * 4 * 3 * 8 * 8
    assert training_ways.flops_per_image(network, loss, batch) == 2 * forward, "forward, and backward to the weights"


def test_peaks_are_found_by_name(monkeypatch):
    from training.engine.distributed import Ranks

    names = {"NVIDIA H200": 989.0, "NVIDIA H100 PCIe": 756.0, "NVIDIA A100-SXM4-80GB": 312.0, "NVIDIA L4": 121.0,
             "NVIDIA L40S": 362.0, "Other": None}  # fmt: skip
    for name, peak in names.items():
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device, name=name: name)
        assert training_ways.peak_tflops(Ranks(torch.device("cuda"))) == peak
    assert training_ways.peak_tflops(Ranks(torch.device("cpu"))) is None

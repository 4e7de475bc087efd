"""OpenVINO: float32 and bfloat16 stay near torch, INT8 nearly always; a file tells its checkpoint and its weights."""

from dataclasses import replace

import numpy as np
import pytest

from deepfake.backends.facts import BF16, FLOAT32, INT8, ExportError
from deepfake.backends.formats.openvino import open_file
from deepfake.backends.network import ExportedNetwork
from deepfake.models.weight_files import file_hash
from deepfake.prediction.face_scorer import FaceScorer
from export.checking import export_checked, make_scorer
from export.format_registry import FORMATS

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]

TOLERANCE = {FLOAT32: 1e-3, BF16: 3e-2, INT8: 1.0}
"""A network that was trained for seconds on two dozen faces does not outlive 8 bits on every single one: there, most
faces count."""


@pytest.fixture
def job(trained_job):
    return trained_job


@pytest.mark.parametrize("precision", TOLERANCE)
def test_every_precision_is_near(job, tmp_path, precision):
    job = replace(job, facts=replace(job.facts, precision=precision))
    path = tmp_path / "a.pth.xml"
    agreement = export_checked(job, path, FORMATS["openvino"], TOLERANCE[precision], "cpu")
    print(precision, agreement)
    assert agreement.highest - agreement.lowest > 0.3, "scores that are all alike show nothing"
    assert (precision == FLOAT32) == (agreement.difference < 1e-4), "reduced precision is to be seen"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.pth.bin", "a.pth.xml"]
    run, facts = open_file(path, "cpu")
    assert facts == job.facts
    scorer = make_scorer(ExportedNetwork(run, facts))
    away = np.abs(scorer(job.crops) - FaceScorer(job.network, facts.normalization)(job.crops))
    assert away.mean() < 0.15 and (away < 0.3).mean() >= 0.8
    for count in (1, 3, 8):
        assert scorer(job.crops[:count]) == pytest.approx(scorer(job.crops)[:count], abs=0.02)


def test_over_the_tolerance_the_old_files_stay(job, tmp_path):
    path = tmp_path / "a.xml"
    export_checked(job, path, FORMATS["openvino"], 1e-3, "cpu")
    before = {file: file_hash(file) for file in tmp_path.iterdir()}
    worse = replace(job, facts=replace(job.facts, precision=BF16))
    with pytest.raises(ExportError, match="not written"):
        export_checked(worse, path, FORMATS["openvino"], 1e-9, "cpu")
    assert {file: file_hash(file) for file in tmp_path.iterdir()} == before
    _refuses_what_does_not_belong_together(path)


def _refuses_what_does_not_belong_together(path):
    weights = path.with_suffix(".bin")
    whole, described = weights.read_bytes(), path.read_text()
    weights.write_bytes(whole[:-4] + b"\0\0\0\1")
    with pytest.raises(ExportError, match=r"a\.bin: does not belong to a\.xml"):
        open_file(path, "cpu")
    weights.unlink()
    with pytest.raises(ExportError, match=r"a\.bin: no such file"):
        open_file(path, "cpu")
    weights.write_bytes(whole)
    path.write_text(described[: len(described) // 2])
    with pytest.raises(ExportError, match=r"a\.xml: damaged"):
        open_file(path, "cpu")
    path.write_text(described.replace('name="', 'name="x', 1))
    with pytest.raises(ExportError, match=r"a\.xml: damaged: its checksum differs"):
        open_file(path, "cpu")
    path.write_text(described.replace("checkpoint_sha256", "something_else"))
    with pytest.raises(ExportError, match=r"a\.xml: its metadata lacks checkpoint_sha256"):
        open_file(path, "cpu")

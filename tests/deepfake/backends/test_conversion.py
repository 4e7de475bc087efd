"""Networks that OpenVINO runs without a file: torch's scores, and NaN ends as an error or in a refusal."""

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import predict_folder
from deepfake.backends import conversion
from deepfake.backends.conversion import KEEP_NAN, CannotConvert, convert, converted_network
from deepfake.backends.facts import ExportError
from deepfake.backends.formats.openvino import on_images
from deepfake.checkpoints.checkpoint import save_checkpoint
from deepfake.checkpoints.spec import ModelSpec
from deepfake.models.precision import AUTO
from deepfake.models.registry import build_model
from deepfake.prediction.ensemble import Member
from deepfake.prediction.face_scorer import FaceScorer, ScoringError
from deepfake.prediction.loading import FEWEST_TO_CONVERT_FOR, choose_backend, load_models
from tests.data.networks import PLACES, SMALL_NETWORKS, lively, poison

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.slow,
    pytest.mark.skipif(not conversion.can_convert_here(), reason="OpenVINO is not installed, or no x86"),
]

SIDE = 64
IMAGES = np.random.default_rng(0).integers(0, 256, (5, SIDE, SIDE, 3), np.uint8)
PRECISIONS = {"float32": 1e-5, "bf16": 5e-3}


ALONE = """
import logging, multiprocessing, sys, threading
from deepfake.backends.conversion import convert
from torch import nn
root = logging.getLogger()
before = root.level, list(root.filters), list(root.handlers)
convert(nn.Sequential(nn.Conv2d(3, 1, 8), nn.Flatten()).eval(), 8)
assert (root.level, root.filters, root.handlers) == before
assert not multiprocessing.active_children() and threading.active_count() == 1
assert sys.modules["openvino_telemetry"] is None
"""
"""Conversion in a process that does nothing else."""

SIGNALED = """
import gc, os, signal
import torch
from torch import nn
from deepfake.backends.conversion import convert, converted_network
def converted():
    network = converted_network(convert(nn.Sequential(nn.Conv2d(3, 1, 8), nn.Flatten()).eval(), 8), "float32")
    network(torch.zeros(1, 3, 8, 8))
    return network
first = converted()
second = converted()
del first
gc.collect()
del second
gc.collect()
received = []
signal.signal(signal.SIGUSR1, lambda *_: received.append(True))
os.kill(os.getpid(), signal.SIGUSR1)
assert received
"""
"""A signal after networks that have ended in the order in which they began."""


def network_of(name):
    torch.manual_seed(1)
    architecture, options, output = SMALL_NETWORKS[name]
    return lively(build_model(architecture, **options)), output


def test_nothing_is_reported_and_the_log_goes_on(tmp_path):
    environment = {**os.environ, "HOME": str(tmp_path)}
    ended = subprocess.run([sys.executable, "-c", ALONE], env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert not list(tmp_path.rglob("*openvino*")), "OpenVINO's telemetry keeps its state in the user's home"


def test_a_signal_is_received_after_networks_have_ended():
    ended = subprocess.run([sys.executable, "-c", SIGNALED], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("name", SMALL_NETWORKS)
def test_it_scores_as_torch_in_any_batch(name):
    network, output = network_of(name)
    expected = FaceScorer(network, output=output)(IMAGES)
    model = convert(network, SIDE)
    for precision, tolerance in PRECISIONS.items():
        scorer = FaceScorer(converted_network(model, precision), output=output)
        for count in (1, 3, 5):
            assert scorer(IMAGES[:count]) == pytest.approx(expected[:count], abs=tolerance)
        assert np.array_equal(scorer(IMAGES), scorer(IMAGES)), "the same scores each time"
    assert FaceScorer(network, output=output)(IMAGES) == pytest.approx(expected, abs=1e-7), "it is left as it was"


@pytest.mark.parametrize("name", ["EfficientNet", "ResNet", "Xception"])
@pytest.mark.parametrize("place", PLACES)
def test_nan_in_the_weights_is_an_error(name, place):
    network, output = network_of(name)
    model = convert(poison(network, place), SIDE)
    for precision in PRECISIONS:
        with pytest.raises(ScoringError, match="not finite"):
            FaceScorer(converted_network(model, precision), output=output)(IMAGES)


ACTIVATIONS = {
    "PRelu": functional.relu,
    "Swish": functional.silu,
    "Sigmoid": torch.sigmoid,
    "HSwish": functional.hardswish,
    "Gelu": functional.gelu,
    "Tanh": torch.tanh,
    "Softmax": lambda x: x.softmax(1),
    "Elu": functional.elu,
    "Abs": torch.abs,
    "Sqrt": lambda x: (x * x).sqrt(),
    "Sign": lambda x: x.sign() * x.abs(),
    "ReduceMean": lambda x: x.mean((2, 3), keepdim=True),
    "AvgPool": lambda x: functional.avg_pool2d(x, 2),
    "MVN": lambda x: functional.layer_norm(x, x.shape[1:]),
    "ReduceL2": lambda x: x.norm(dim=1, keepdim=True),
    "Einsum": lambda x: torch.einsum("nchw,ndhw->ncd", x, x)[:, :, :, None],
    "Subtract": lambda x: x - x.mean((2, 3), keepdim=True),
    "MaxPool": lambda x: functional.max_pool2d(x, 3, 2, 1),
    "Maximum": lambda x: torch.maximum(x, torch.zeros(1)),
    "Pad": lambda x: functional.pad(x, (0, 1, 0, 1)),
}


class Layers(nn.Module):
    """A convolution, something behind it, and a mean."""

    def __init__(self, function):
        super().__init__()
        self.first, self.function = nn.Conv2d(3, 8, 3), function

    def forward(self, x):
        return self.function(self.first(x)).flatten(1).mean(1, keepdim=True)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_operations_put_out_nan_for_nan(name, precision):
    torch.manual_seed(0)
    network = Layers(ACTIVATIONS[name]).eval()
    model = convert(network, SIDE)
    assert name in {operation.get_type_name() for operation in on_images(model)} & KEEP_NAN
    x = torch.randn(2, 3, SIDE, SIDE)
    with torch.no_grad():
        expected = network(x)
    computed = converted_network(model, precision)
    assert computed(x) == pytest.approx(expected, rel=0.1, abs=0.05)
    x[1, 1, 20, 20] = math.nan
    assert computed(x).isnan().flatten().tolist() == [False, True]


@pytest.mark.parametrize(
    ("function", "operation"),
    [(functional.relu6, "Clamp"), (functional.hardsigmoid, "HSigmoid"), (torch.exp, "Exp")],
)
def test_what_may_lose_nan_is_refused(function, operation):
    with pytest.raises(CannotConvert, match=f"may lose numbers that are not finite in {operation}"):
        convert(Layers(function).eval(), SIDE)


def test_what_openvino_does_not_know_is_refused():
    with pytest.raises(CannotConvert, match="cannot convert"):
        convert(Layers(lambda x: torch.linalg.svdvals(x)).eval(), SIDE)


def test_other_precisions_are_refused():
    with pytest.raises(ExportError, match="'fp16': OpenVINO computes in one of float32, bf16"):
        converted_network(convert(Layers(torch.tanh).eval(), SIDE), "fp16")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, AUTO),
        ({"videos": FEWEST_TO_CONVERT_FOR - 1}, "torch"),
        ({"device": "cuda"}, "torch"),
        ({"precision": "fp16"}, "torch"),
        ({"compiled": True}, "torch"),
        ({"asked": "torch"}, "torch"),
        ({"asked": "openvino", "videos": 1}, "openvino"),
    ],
)
def test_which_backend_is_taken(options, expected, monkeypatch):
    usual = {"asked": AUTO, "device": "cpu", "precision": AUTO, "videos": FEWEST_TO_CONVERT_FOR}
    assert choose_backend(**{**usual, **options}) == expected
    monkeypatch.setattr(conversion.importlib.util, "find_spec", lambda name: None)
    assert choose_backend(**{**usual, **options}) == ("openvino" if expected == "openvino" else "torch")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    spec = ModelSpec("DeepFakeClassifier", {"encoder": "test_efficientnet"}, SIDE)
    path = tmp_path_factory.mktemp("converted") / "small"
    save_checkpoint(path, spec.build(), spec)
    return path


def test_automatically_what_cannot_be_converted_stays_torchs(checkpoint, monkeypatch):
    member = Member(checkpoint)
    assert [model.backend for model in load_models([member], backend=AUTO)] == ["openvino"]
    monkeypatch.setattr(conversion, "KEEP_NAN", KEEP_NAN - {"Convolution"})
    assert [model.backend for model in load_models([member], backend=AUTO)] == ["torch"]
    with pytest.raises(ExportError, match=r"not finite in Convolution; use --backend torch"):
        load_models([member], backend="openvino")


def test_a_checkpoint_without_an_exported_file_is_converted(run_main, checkpoint, face_clips, tmp_path):
    found = {}
    for backend in ("torch", "openvino"):
        details = tmp_path / f"{backend}.json"
        options = ["--frames", 2, "--workers", 1, "--output", tmp_path / "s.csv", "--details", details]
        given = ["--weights-dir", checkpoint.parent, "--models", checkpoint.name, "--backend", backend]
        code, _, err = run_main(predict_folder.main, face_clips, *given, *options, "--precision", "float32")
        assert code in (0, 3), err
        found[backend] = json.loads(details.read_text())
        assert found[backend]["settings"]["backend"] == backend
        assert found[backend]["settings"]["precision"] == "float32"
    for one, other in zip(found["torch"]["videos"], found["openvino"]["videos"]):
        assert other["score"] == pytest.approx(one["score"], abs=1e-5)

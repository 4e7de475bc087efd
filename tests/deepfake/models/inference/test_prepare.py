"""The form of a network that scores computes what the network does."""

import copy
import weakref

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from deepfake.models.inference import prepare
from deepfake.models.inference.folding import fold_batch_norms
from deepfake.models.inference.packing import PackedConv2d
from deepfake.models.inference.prepare import check_can_compile, for_inference
from deepfake.models.registry import build_model
from deepfake.prediction.face_scorer import SCORE_BATCH, FaceScorer
from tests.data.networks import lively

ARCHITECTURES = [
    ("DeepFakeClassifier", {"encoder": "tf_efficientnet_b0_ns"}),
    ("DeepFakeClassifierSRM", {"encoder": "regnetx_002"}),
    ("DeepFakeClassifierGWAP", {"encoder": "regnetx_002"}),
    ("xception", {}),
    ("wsdan_xception", {}),
    ("wsdan_efficientnet_b3", {}),
]


class Small(nn.Module):
    """Two convolutions whose batch norms can be folded, and one whose output is read twice."""

    def __init__(self):
        super().__init__()
        self.a, self.norm_a = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
        self.b, self.norm_b = nn.Conv2d(8, 8, 3, bias=False), nn.BatchNorm2d(8)
        self.c, self.norm_c = nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 1)

    def forward(self, x):
        x = functional.relu(self.norm_a(self.a(x)))
        read_twice = self.b(x)
        x = self.norm_b(read_twice) + read_twice
        return self.fc(self.norm_c(self.c(x)).mean((2, 3)))


def norms(network):
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize("name, options", ARCHITECTURES)
@torch.no_grad()
def test_folding_changes_no_score(name, options):
    torch.manual_seed(1)
    network = lively(build_model(name, **options)).double()
    x = torch.randn(1, 3, 96, 96, dtype=torch.float64)
    expected = network(x)
    original = copy.deepcopy(network)
    folded = fold_batch_norms(network, x).network
    assert (folded(x) - expected).abs().max() <= 1e-9 * (1 + expected.abs().max())
    assert norms(folded) <= 0.1 * norms(original)  # what follows a sum or a concatenation stays


@torch.no_grad()
def test_an_output_read_twice_keeps_its_batch_norm():
    network = lively(Small())
    x = torch.randn(2, 3, 20, 20)
    expected = network(x)
    folded = fold_batch_norms(network, x[:1]).network
    assert isinstance(folded.norm_a, nn.Identity) and isinstance(folded.norm_c, nn.Identity)
    assert isinstance(folded.norm_b, nn.BatchNorm2d)
    assert folded(x) == pytest.approx(expected, abs=1e-5)


@torch.no_grad()
def test_looking_keeps_no_picture_between_layers():
    """Of a large network at its own size they would be gigabytes."""
    alive, most = weakref.WeakSet(), []

    class Watched(nn.Conv2d):
        def forward(self, x):
            y = super().forward(x)
            alive.add(y)
            most.append(len(alive))
            return y

    network = nn.Sequential(*(Watched(3, 3, 1) for _ in range(30))).eval()
    fold_batch_norms(network, torch.zeros(1, 3, 8, 8))
    assert max(most) <= 3


class FixedSize(Small):
    def forward(self, x):
        assert x.shape[2:] == (20, 20), "20 pixels"
        return super().forward(x)


def test_a_network_of_a_fixed_input_size_is_shown_its_own():
    network = lively(FixedSize())
    for precision in ("float32", "bf16"):
        scores = FaceScorer(network, precision=precision, input_size=20)(np.zeros((2, 40, 40, 3), np.uint8))
        assert scores.shape == (2,)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


@pytest.mark.usefixtures("packs")
@torch.no_grad()
def test_weights_are_kept_in_the_type_that_computes(monkeypatch):
    network = lively(Small())
    x = torch.randn(4, 3, 20, 20)
    for packs in (False, True):
        monkeypatch.setattr(prepare, "can_pack", lambda device, dtype, packs=packs: packs)
        mixed = for_inference(network, "bf16", x[:1])
        assert isinstance(mixed.network.a, PackedConv2d if packs else nn.Conv2d)
        assert (mixed.network.a.dtype if packs else mixed.network.a.weight.dtype) == torch.bfloat16
        assert mixed.network.fc.weight.dtype == torch.bfloat16
        assert mixed.network.norm_b.weight.dtype == torch.float32
        assert next(network.parameters()).dtype == torch.float32
        difference = (mixed(x).float() - network(x)).abs().max()
        assert 0 < difference < 0.05


@pytest.mark.usefixtures("packs")
@pytest.mark.parametrize("name, options", ARCHITECTURES)
@torch.no_grad()
def test_in_float32_packed_convolutions_compute_the_same(name, options, monkeypatch):
    torch.manual_seed(1)
    network = lively(build_model(name, **options))
    before = copy.deepcopy(network.state_dict())
    x = torch.randn(2, 3, 96, 96)
    expected = network(x)
    packed = for_inference(network, "float32", x[:1])
    assert any(isinstance(module, PackedConv2d) for module in packed.modules())
    assert (packed(x) - expected).abs().max() <= 1e-4 * (1 + expected.abs().max())
    assert torch.equal(network(x), expected), "the network itself is left as it is"
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    monkeypatch.setattr(prepare, "can_pack", lambda device, dtype: False)
    assert for_inference(network, "float32", x) is network


def test_what_has_no_convolutions_stays_itself():
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 1)).eval()
    assert for_inference(network, "float32", torch.zeros(1, 3, 2, 2)) is network


@pytest.mark.usefixtures("packs")
def test_a_compiled_network_scores_the_same_in_one_shape(monkeypatch):
    monkeypatch.setitem(SCORE_BATCH, "cpu", 4)
    network = lively(Small())
    images = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), np.uint8)
    expected = FaceScorer(network)(images)
    torch._dynamo.utils.counters.clear()
    scorer = FaceScorer(network, compiled=True)
    assert scorer(images[:1]) == pytest.approx(expected[:1], abs=1e-5)
    assert scorer(images) == pytest.approx(expected, abs=1e-5)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    packed = torch._dynamo.utils.counters["inductor"]["mkldnn_conv_weight_pack_matcher_count"]
    assert packed == 3, "compiled for weights that stay as they are"


def test_compiling_without_a_compiler_is_reported(monkeypatch):
    monkeypatch.setenv("PATH", "")
    for variable in ("CC", "CXX"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ValueError, match=r"for cpu takes a C\+\+ compiler \(g\+\+\), and none is installed"):
        FaceScorer(lively(Small()), compiled=True)
    with pytest.raises(ValueError, match=r"for cuda takes a C compiler \(gcc\)"):
        check_can_compile(torch.device("cuda"))
    monkeypatch.setenv("CXX", "mine")
    check_can_compile(torch.device("cpu"))

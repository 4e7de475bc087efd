"""A number that is not finite, anywhere in a network, ends as an error and never as a score."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from deepfake.models.inference.prepare import for_inference
from deepfake.models.registry import build_model
from deepfake.prediction.face_scorer import FaceScorer, ScoringError
from tests.data.networks import PLACES, lively, poison

pytestmark = pytest.mark.usefixtures("one_thread")

NETWORKS = {
    "ReLU": ("DeepFakeClassifier", {"encoder": "regnetx_002"}, "logit"),
    "SiLU": ("DeepFakeClassifier", {"encoder": "test_efficientnet"}, "logit"),
    "hard swish": ("DeepFakeClassifier", {"encoder": "mobilenetv3_small_050"}, "logit"),
    "Xception": ("xception", {}, "softmax"),
}
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def network_of():
    """`network_of(name)`: a network of NETWORKS with random weights, made once."""
    made = {}

    def make(name):
        if name not in made:
            torch.manual_seed(1)
            architecture, options, _ = NETWORKS[name]
            made[name] = lively(build_model(architecture, **options))
        return copy.deepcopy(made[name])

    return make


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize(
    "name, place",
    [(name, place) for name in NETWORKS for place in (list(PLACES)[1:4] if name == "Xception" else PLACES)],
)
def test_nan_in_the_weights_is_an_error(network_of, name, place, precision):
    scorer = FaceScorer(poison(network_of(name), place), precision=precision, output=NETWORKS[name][2])
    with pytest.raises(ScoringError, match="not finite"):
        scorer(IMAGES)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("name", ["ReLU", "SiLU"])
def test_an_overflow_between_layers_is_an_error(network_of, name, precision):
    network = network_of(name)
    # Not those of gates, whose sigmoid of infinity is rightly 1.
    named = [(name, module) for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    convolutions = [module for name, module in named if ".se." not in name]
    with torch.no_grad():
        for convolution in convolutions[len(convolutions) // 2 :][:3]:
            convolution.weight *= 1e30
    assert all(value.isfinite().all() for value in network.state_dict().values())
    with pytest.raises(ScoringError, match="not finite"):
        FaceScorer(network, precision=precision)(IMAGES)


@pytest.mark.parametrize("value", [math.inf, -math.inf])
@pytest.mark.parametrize("output", ["logit", "softmax"])
def test_an_infinite_output_is_no_certain_score(value, output):
    class Infinite(nn.Linear):
        def forward(self, x):
            return torch.full((len(x), self.out_features), value)

    network = Infinite(1, 1 if output == "logit" else 2).eval()
    with pytest.raises(ScoringError, match="not finite"):
        FaceScorer(network, output=output)(IMAGES)


def test_a_network_with_another_number_of_outputs_is_an_error():
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)).eval()
    with pytest.raises(ValueError, match="gives 2 numbers for a face; a logit takes 1"):
        FaceScorer(network, output="logit")(IMAGES)
    network[2] = nn.Linear(3, 1)
    with pytest.raises(ValueError, match="gives 1 numbers for a face; a softmax takes 2"):
        FaceScorer(network, output="softmax")(IMAGES)


@pytest.mark.usefixtures("packs")
@torch.no_grad()
def test_the_slope_changes_no_score(network_of):
    """The same rounding as with oneDNN's own ReLU."""
    network = network_of("ReLU")
    x = torch.randn(2, 3, 64, 64)
    kept = for_inference(network, "float32", x[:1])
    plain = for_inference(network, "float32", x[:1])
    fused = [module for module in plain.modules() if getattr(module, "activation", None) == "leaky_relu"]
    assert len(fused) > 20
    for module in fused:
        module.activation, module.scalars = "relu", []
    assert torch.equal(kept(x), plain(x))


@pytest.mark.usefixtures("packs")
def test_nan_in_a_compiled_network_is_an_error():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.ReLU()]
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 1)).eval()
    assert FaceScorer(network, compiled=True)(IMAGES).shape == (2,)
    with torch.no_grad():
        network[0].weight[0] = math.nan
    with pytest.raises(ScoringError, match="not finite"):
        FaceScorer(network, compiled=True)(IMAGES)

"""Activation maps: a planted case whose answer is known, and what holds for every network and method."""

import copy

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from deepfake.checkpoints.spec import OUTPUT_LOGIT, OUTPUT_SOFTMAX, ModelSpec
from deepfake.models import build_model, model_names
from deepfake.prediction.face_scorer import FaceScorer, ScoringError
from visualize.activation.maps import ATTENTION, METHODS, STRENGTH, ActivationMapper, choose_method, encoder_of, overlay

pytestmark = pytest.mark.usefixtures("one_thread")

SIDE = 64
PATCH = SIDE // 4
CLASS_METHODS = tuple(method for method in METHODS if method != ATTENTION)
ONE_LOGIT = ModelSpec("DeepFakeClassifier", {"encoder": "test_efficientnet", "drop_path_rate": 0.0}, SIDE)
PATCH_COLOR = (230, 30, 220)


def backgrounds(rng: np.random.Generator, count: int) -> np.ndarray:
    """Soft random colors with noise: (n, SIDE, SIDE, 3) uint8."""
    coarse = rng.integers(60, 190, (count, 4, 4, 3)).astype(np.float32)
    soft = np.stack([cv2.resize(c, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for c in coarse])
    return (soft + rng.normal(0, 8, soft.shape)).clip(0, 255).astype(np.uint8)


def plant(images: np.ndarray, places: np.ndarray) -> np.ndarray:
    """A colored patch in each picture, at its (top, left)."""
    planted = images.copy()
    for image, (top, left) in zip(planted, places):
        image[top : top + PATCH, left : left + PATCH] = PATCH_COLOR
    return planted


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    """A small network that takes a colored patch anywhere for the mark of a fake."""
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    network = ONE_LOGIT.build().train()
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (ONE_LOGIT.normalization.mean, ONE_LOGIT.normalization.std))
    labels = torch.tensor([0.0, 1.0]).repeat_interleave(8)
    for _ in range(60):
        images = backgrounds(rng, 16)
        images[8:] = plant(images[8:], rng.integers(0, SIDE - PATCH + 1, (8, 2)))
        batch = (torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - mean) / std
        loss = functional.binary_cross_entropy_with_logits(network(batch).flatten(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    optimizer.zero_grad()
    return network.eval()


@pytest.fixture(scope="module")
def unseen() -> tuple[np.ndarray, np.ndarray]:
    """Held-out fakes, and the corner of each one's patch: 0 top left, 1 top right, 2 bottom left, 3 bottom right."""
    corners = np.arange(20) % 4
    places = np.stack([corners // 2, corners % 2], 1) * (SIDE - PATCH)
    return plant(backgrounds(np.random.default_rng(1), 20), places), corners


def quadrants(maps: np.ndarray) -> np.ndarray:
    """(n, s, s) -> (n, 4): each quadrant's share of a map's mass."""
    half = maps.shape[1] // 2
    mass = maps.reshape(-1, 2, half, 2, half).sum((2, 4)).reshape(-1, 4)
    return mass / mass.sum(1, keepdims=True)


@pytest.mark.parametrize("method", CLASS_METHODS)
def test_the_map_lights_the_corner_where_the_fake_was_planted(trained, unseen, method):
    images, corners = unseen
    maps, scores = ActivationMapper(trained, ONE_LOGIT, method).scored(images)
    assert scores.min() > 0.8, "the network has learnt"
    share = quadrants(maps)
    assert (share.argmax(1) == corners).all()
    assert share[np.arange(len(maps)), corners].mean() > 0.6, "an even map has 0.25"
    for activation, corner in zip(maps, corners):
        y, x = np.unravel_index(activation.argmax(), activation.shape)
        assert 2 * (y >= SIDE / 2) + (x >= SIDE / 2) == corner


@pytest.mark.parametrize("method", ["gradcam", "hirescam"])
def test_after_average_pooling_the_map_is_the_last_layers_weighting(trained, unseen, method):
    """There both methods are CAM (Zhou et al. 2016, arXiv 1512.04150), which needs no gradient."""
    images = unseen[0][:4]
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (ONE_LOGIT.normalization.mean, ONE_LOGIT.normalization.std))
    with torch.inference_mode():
        features = trained.encoder.forward_features((torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - mean) / std)
        weighted = torch.einsum("nchw,c->nhw", features, trained.fc.weight[0]).relu().numpy()
    for activation, plain in zip(ActivationMapper(trained, ONE_LOGIT, method)(images), weighted):
        expected = (plain - plain.min()) / np.ptp(plain)
        expected = cv2.resize(expected, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC).clip(0, 1)
        np.testing.assert_allclose(activation, expected, atol=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("method", CLASS_METHODS)
def test_a_gpu_gives_the_same_maps(trained, unseen, method):
    expected = ActivationMapper(trained, ONE_LOGIT, method)(unseen[0])
    on_gpu = ActivationMapper(copy.deepcopy(trained).cuda(), ONE_LOGIT, method)(unseen[0])
    np.testing.assert_allclose(on_gpu, expected, atol=0.02)


class TwoLogits(nn.Module):
    """Real and fake from a network of one logit."""

    def __init__(self, network: nn.Module, signs: tuple[float, float]) -> None:
        super().__init__()
        self.network, self.signs = network, signs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x) * torch.tensor(self.signs)


def test_of_two_logits_the_second_is_the_fakes(trained, unseen):
    images, _ = unseen
    two = copy.copy(ONE_LOGIT)
    object.__setattr__(two, "output", OUTPUT_SOFTMAX)
    maps, scores = ActivationMapper(TwoLogits(trained, (0.0, 1.0)), two, "gradcam").scored(images)
    expected_maps, expected_scores = ActivationMapper(trained, ONE_LOGIT, "gradcam").scored(images)
    np.testing.assert_allclose(maps, expected_maps, atol=1e-4)
    np.testing.assert_allclose(scores, expected_scores, atol=1e-5)
    other = ActivationMapper(TwoLogits(trained, (1.0, -1.0)), two, "gradcam")(images)
    assert np.abs(other - expected_maps).mean() > 0.1


@pytest.fixture(scope="module")
def registered() -> dict[str, tuple[nn.Module, ModelSpec]]:
    """Every network of the registry, small where it can be."""
    found = {}
    for name in model_names():
        torch.manual_seed(0)
        first = name.startswith("DeepFakeClassifier")
        options = {"encoder": "test_efficientnet"} if first else {}
        spec = ModelSpec(name, options, SIDE, output=OUTPUT_LOGIT if first else OUTPUT_SOFTMAX)
        found[name] = build_model(name, **options).eval(), spec
    return found


@pytest.mark.parametrize("name", model_names())
def test_every_registered_network_has_maps_of_every_method_and_stays_as_it_is(registered, name):
    network, spec = registered[name]
    trainable = [weight.requires_grad for weight in network.parameters()]
    before = copy.deepcopy(network.state_dict())
    images = backgrounds(np.random.default_rng(2), 2)
    expected = FaceScorer(network, spec.normalization, output=spec.output)(images)
    for method in METHODS:
        if method == ATTENTION and not name.startswith("wsdan"):
            continue
        maps, scores = ActivationMapper(network, spec, method).scored(images)
        assert maps.shape == images.shape[:3] and maps.dtype == np.float32
        assert maps.min() >= 0 and maps.max() <= 1
        np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert all(weight.grad is None for weight in network.parameters())
    assert [weight.requires_grad for weight in network.parameters()] == trainable
    assert not network.training
    assert not any(part._forward_hooks or "forward_features" in vars(part) for part in network.modules())


@pytest.mark.parametrize("method", CLASS_METHODS)
def test_a_batch_gives_what_its_pictures_give_one_by_one(trained, unseen, method):
    mapper = ActivationMapper(trained, ONE_LOGIT, method)
    images = unseen[0]
    singles = np.concatenate([mapper(image[None]) for image in images])
    np.testing.assert_allclose(mapper(images), singles, atol=1e-3)


def test_no_picture_gives_no_map(trained):
    assert ActivationMapper(trained, ONE_LOGIT)(np.empty((0, SIDE, SIDE, 3), np.uint8)).shape == (0, SIDE, SIDE)


def test_maps_have_the_pictures_size_not_the_networks(trained, unseen):
    large = np.stack([cv2.resize(image, (150, 150)) for image in unseen[0]])
    maps = ActivationMapper(trained, ONE_LOGIT, "gradcam")(large)
    assert maps.shape == (20, 150, 150)
    assert (quadrants(maps).argmax(1) == unseen[1]).all()


@pytest.mark.parametrize("method", CLASS_METHODS)
def test_where_nothing_speaks_for_fake_the_map_is_empty_not_nan(trained, method):
    network = copy.deepcopy(trained)
    nn.init.zeros_(network.fc.weight)
    for parameter in network.encoder.bn2.parameters():
        nn.init.zeros_(parameter)  # every feature is 0 everywhere
    maps = ActivationMapper(network, ONE_LOGIT, method)(np.zeros((2, SIDE, SIDE, 3), np.uint8))
    assert (maps == 0).all()


def test_numbers_that_are_none_are_reported(trained):
    network = copy.deepcopy(trained)
    nn.init.constant_(network.fc.weight, np.nan)
    with pytest.raises(ScoringError):
        ActivationMapper(network, ONE_LOGIT)(np.zeros((1, SIDE, SIDE, 3), np.uint8))
    nn.init.constant_(network.encoder.conv_head.weight, np.nan)
    for method in CLASS_METHODS:
        with pytest.raises(ScoringError):
            ActivationMapper(network, ONE_LOGIT, method)(np.zeros((1, SIDE, SIDE, 3), np.uint8))
    assert "forward_features" not in vars(network.encoder), "after an error, too, the network is as before"
    assert all(weight.requires_grad for weight in network.parameters())


def test_wsdan_shows_the_mean_of_its_own_attention_maps(registered):
    network, spec = registered["wsdan_efficientnet_b3"]
    images = backgrounds(np.random.default_rng(3), 2)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (spec.normalization.mean, spec.normalization.std))
    with torch.inference_mode():
        own = network((torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - mean) / std, attended=True).attention
    mapper = ActivationMapper(network, spec)
    assert mapper.method == ATTENTION, "the default"
    for activation, attention in zip(mapper(images), own.mean(1).numpy()):
        expected = (attention - attention.min()) / np.ptp(attention)
        expected = cv2.resize(expected, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC).clip(0, 1)
        np.testing.assert_allclose(activation, expected, atol=1e-4)


def test_what_cannot_be_mapped_is_reported(trained):
    with pytest.raises(ValueError, match="unknown; expected one of gradcam, "):
        choose_method(trained, "saliency")
    with pytest.raises(ValueError, match="only WS-DAN has attention maps of its own; choose one of gradcam, "):
        ActivationMapper(trained, ONE_LOGIT, ATTENTION)
    with pytest.raises(ValueError, match="'mystery': its last feature map before pooling is not known"):
        encoder_of(nn.Linear(3, 1), "mystery")


def test_an_overlay_colors_what_is_high_and_leaves_the_rest(unseen):
    image = unseen[0][0]
    activation = np.zeros((SIDE, SIDE), np.float32)
    np.testing.assert_array_equal(overlay(image, activation), image)
    activation[:8, :8] = 1
    drawn = overlay(image, activation)
    np.testing.assert_array_equal(drawn[8:], image[8:])
    np.testing.assert_array_equal(overlay(image, activation, strength=1)[0, 0], (252, 255, 164))
    seen = [overlay(np.full((1, 1, 3), 128, np.uint8), np.full((1, 1), v)).mean() for v in np.linspace(0.5, 1, 6)]
    assert (np.diff(seen) > 0).all(), "more is lighter"
    assert drawn.dtype == np.uint8 and 0 < STRENGTH < 1

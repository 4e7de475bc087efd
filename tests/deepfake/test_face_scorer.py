"""Faces -> scores of one network: batches, normalisation, precision."""

import numpy as np
import pytest
import torch

from deepfake.checkpoints import load_model
from deepfake.face_scorer import SCORE_BATCH, FaceScorer
from deepfake.images import IMAGENET
from tests.predicting import tiny_checkpoint

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> torch.nn.Module:
    return load_model(tiny_checkpoint(tmp_path_factory.mktemp("weights") / "tiny"))[0]


def _noise(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3), np.uint8)


def test_batches_change_nothing_and_bound_memory(network, monkeypatch):
    images = _noise(19)
    whole = FaceScorer(network)(images)
    monkeypatch.setitem(SCORE_BATCH, "cpu", 5)
    sizes = []
    handle = network.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    try:
        assert FaceScorer(network)(images) == pytest.approx(whole, abs=1e-6)
    finally:
        handle.remove()
    assert sizes == [5, 5, 5, 4]
    assert FaceScorer(network)(images[:0]).shape == (0,)


def test_networks_see_normalised_rgb(network):
    seen = []
    handle = network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    images = _noise(2)
    FaceScorer(network, IMAGENET)(images)
    handle.remove()
    expected = (images / 255 - np.array(IMAGENET.mean)) / np.array(IMAGENET.std)
    assert seen[0].shape == (2, 3, 64, 64)
    assert seen[0].permute(0, 2, 3, 1).numpy() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_is_close(network, precision):
    images = _noise(6)
    exact, mixed = FaceScorer(network)(images), FaceScorer(network, precision=precision)(images)
    assert mixed.dtype == np.float32
    assert 0 < np.abs(mixed - exact).max() < 0.02

"""Faces -> scores of one network: batches, normalization, precision."""

import threading

import numpy as np
import pytest
import torch

from deepfake.checkpoints.checkpoint import load_model
from deepfake.media.images import IMAGENET
from deepfake.prediction import face_scorer
from deepfake.prediction.face_scorer import SCORE_BATCH, FaceScorer, even_parts
from tests.data.predicting import tiny_checkpoint

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> torch.nn.Module:
    return load_model(tiny_checkpoint(tmp_path_factory.mktemp("weights") / "tiny"))[0]


def _noise(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3), np.uint8)


class Listening(torch.nn.Module):
    """A network that keeps what it is given."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([[0.1, 0.2, -0.3]]))
        self.seen = []
        self.threads = set()

    def forward(self, x):
        self.seen.append(x.clone())
        self.threads.add((threading.current_thread().name, torch.get_num_threads()))
        return x.mean((2, 3)) @ self.weight.T


def test_batches_change_nothing_and_bound_memory(network, monkeypatch):
    images = _noise(19)
    whole = FaceScorer(network)(images)
    monkeypatch.setitem(SCORE_BATCH, "cpu", 5)
    assert FaceScorer(network)(images) == pytest.approx(whole, abs=1e-6)
    listening = Listening()
    assert FaceScorer(listening)(images[:0]).shape == (0,)
    FaceScorer(listening)(images)
    assert [len(batch) for batch in listening.seen] == [5, 5, 5, 4]
    listening.seen.clear()
    monkeypatch.setattr(face_scorer, "CPU_PIXELS", 3 * 64 * 64)
    FaceScorer(listening)(images)
    assert {len(batch) for batch in listening.seen} == {2, 3} and len(listening.seen) == 7
    assert face_scorer.batch_size(torch.device("cpu"), 2000) == 1


def test_networks_see_normalized_rgb():
    listening = Listening()
    images = _noise(2)
    scores = FaceScorer(listening, IMAGENET)(images)
    expected = (images / 255 - np.array(IMAGENET.mean)) / np.array(IMAGENET.std)
    (batch,) = listening.seen
    assert batch.shape == (2, 3, 64, 64)
    assert batch.permute(0, 2, 3, 1).numpy() == pytest.approx(expected, abs=1e-5)
    logits = expected.mean((1, 2)) @ np.array([0.1, 0.2, -0.3])
    assert scores == pytest.approx(1 / (1 + np.exp(-logits)), abs=1e-5)


@pytest.fixture
def two_threads():
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def test_two_cores_score_side_by_side_and_in_order(network, two_threads):
    images = _noise(23)
    with torch.inference_mode():
        values = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
        mean, std = (torch.tensor(own)[:, None, None] for own in (IMAGENET.mean, IMAGENET.std))
        alone = torch.sigmoid(network((values - mean) / std))[:, 0].numpy()
    assert FaceScorer(network)(images) == pytest.approx(alone, abs=1e-6)
    listening = Listening()
    scorer = FaceScorer(listening)
    for _ in range(20):
        assert scorer(images) == pytest.approx(scorer(images[::-1])[::-1], abs=1e-6)
    assert listening.threads == {("compute_0", 1), ("compute_1", 1)}
    assert torch.get_num_threads() == 2


def test_parts_are_even_and_share_out():
    sizes = lambda *arguments: [len(part) for part in even_parts(np.arange(arguments[0]), *arguments[1:])]  # noqa: E731
    assert sizes(0, 4, 2) == [] and sizes(1, 4, 2) == [1] and sizes(5, 4, 2) == [3, 2]
    assert sizes(32, 2, 2) == [2] * 16 and sizes(3, 8, 8) == [1, 1, 1] and sizes(9, 8, 1) == [5, 4]
    assert np.concatenate(even_parts(np.arange(33), 4, 3)).tolist() == list(range(33))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_is_close(network, precision):
    images = _noise(6)
    exact, mixed = FaceScorer(network)(images), FaceScorer(network, precision=precision)(images)
    assert mixed.dtype == np.float32
    assert 0 < np.abs(mixed - exact).max() < 0.02

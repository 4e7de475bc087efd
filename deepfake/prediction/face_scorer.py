"""Pictures of faces -> a network's scores of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from deepfake.checkpoints.spec import OUTPUT_LOGIT, fake_probability
from deepfake.media.images import IMAGENET, Normalization
from deepfake.models.inference.prepare import Network, check_can_compile, for_inference
from deepfake.models.precision import FLOAT32
from deepfake.parallel.threads import shared_threads

SCORE_BATCH = {"cpu": 8, "cuda": 64}
"""The most faces a network call, or a request to a network that runs elsewhere: bounds memory."""

CPU_PIXELS = 300_000
"""The most pixels a network call on a CPU, two pictures of 380 x 380: more are no faster there and take memory."""


Scorer = Callable[[np.ndarray], np.ndarray]
"""(n, s, s, 3) uint8 RGB faces -> (n,) float32 probabilities of fake; `FaceScorer` is one."""


def most_faces(device: torch.device) -> int:
    """SCORE_BATCH of a device."""
    return SCORE_BATCH.get(device.type, SCORE_BATCH["cpu"])


def batch_size(device: torch.device, side: int) -> int:
    """Pictures of `side` pixels a side in a network call on a device, at most."""
    most = most_faces(device)
    return max(1, min(most, CPU_PIXELS // side**2)) if device.type == "cpu" else most


class ScoringError(ValueError):
    """A network computed something that is not a finite number, so there is no score."""


@runtime_checkable
class Streaming(Protocol):
    """A network that runs elsewhere: it is given batches ahead of those whose outputs have come."""

    def stream(self, batches: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
        """(n, 3, s, s) batches -> what the network puts out for all their pictures, in their order."""


class FaceInput:
    """Pictures of faces -> the batches that a network takes, where its weights are.

    Args:
        network: takes (n, 3, s, s) normalized pictures.
        input_size: pictures of another size are resized to this, bilinearly (second place); None takes them as they
            are.
    """

    def __init__(
        self, network: nn.Module, normalization: Normalization = IMAGENET, input_size: int | None = None
    ) -> None:
        weights = next(network.parameters())
        self.device = weights.device
        self.dtype = weights.dtype
        self._input_size = input_size
        self._mean = torch.tensor(normalization.mean, device=self.device)[:, None, None]
        self._std = torch.tensor(normalization.std, device=self.device)[:, None, None]

    def size(self, images: np.ndarray) -> int:
        """How many of such pictures, (n, s, s, 3), the network is given in one call."""
        return batch_size(self.device, self._input_size or images.shape[1])

    def batches(self, images: np.ndarray) -> Iterator[torch.Tensor]:
        """(n, s, s, 3) uint8 RGB -> (up to SCORE_BATCH, 3, s, s) tensors in the weights' type."""
        size = most_faces(self.device)
        for start in range(0, len(images), size):
            yield self.batch(images[start : start + size])

    def batch(self, images: np.ndarray) -> torch.Tensor:
        """All of them as one tensor."""
        pixels = torch.from_numpy(np.ascontiguousarray(images)).to(self.device).permute(0, 3, 1, 2)
        values = pixels.float() / 255
        if self._input_size not in (None, pixels.shape[-1]):
            values = functional.interpolate(values, size=self._input_size, mode="bilinear")
        normalized = ((values - self._mean) / self._std).to(self.dtype)
        return normalized.contiguous(memory_format=torch.channels_last)


class FaceScorer:
    """Scores pictures of faces with one network, in batches, where the network's weights are.

    On a CPU several batches are computed side by side (`deepfake.parallel.threads`). The first call makes the
    network's form for inference, and compiles it.

    Args:
        network: (n, 3, s, s) normalized pictures -> what `output` says, in evaluation mode; or Streaming.
        precision: a name in PRECISIONS; for float32 the network computes in its weights' own type.
        output: one of `deepfake.checkpoints.spec.OUTPUTS`.
        input_size: see `FaceInput`.
        compiled: see `for_inference`; short batches are filled up, so that one size is compiled.

    Raises:
        ValueError: compiling is asked for and not possible here.
    """

    def __init__(
        self,
        network: nn.Module,
        normalization: Normalization = IMAGENET,
        precision: str = FLOAT32,
        output: str = OUTPUT_LOGIT,
        input_size: int | None = None,
        compiled: bool = False,
    ) -> None:
        if compiled:
            check_can_compile(next(network.parameters()).device)
        self._output = output
        self._input = FaceInput(network, normalization, input_size)
        self._source = network
        self.precision = precision
        self._compiled = compiled
        self._network: Network | None = None

    @torch.inference_mode()
    def __call__(self, images: np.ndarray) -> np.ndarray:
        """(n, s, s, 3) uint8 RGB -> (n,) float32 probabilities of fake.

        Raises:
            ScoringError: an output is not finite.
            ValueError: the network gives another number of outputs than its spec says.
        """
        if isinstance(self._source, Streaming):
            outputs = self._source.stream(self._input.batches(images))
            found = [self._probabilities(some) for some in outputs]
        else:
            found = self._score_batches(images)
        scores = np.concatenate([np.empty(0, np.float32), *found])
        if not np.isfinite(scores).all():
            raise ScoringError(
                "the network computed numbers that are not finite, so there is no score: its weights are damaged, or "
                "too large for this precision; try --precision float32"
            )
        return scores

    def _score_batches(self, images: np.ndarray) -> list[np.ndarray]:
        threads = shared_threads() if self._input.device.type == "cpu" else None
        parts = even_parts(images, self._input.size(images), 1 if threads is None else threads.count)
        if threads is None:
            return [self._score(part) for part in parts]
        first = [] if self._network is not None else threads.map(self._score, parts[:1])  # alone, while it is made
        return first + threads.map(self._score, parts[len(first) :])

    @torch.inference_mode()
    def _score(self, images: np.ndarray) -> np.ndarray:
        """Of one network call's pictures."""
        batch = self._input.batch(images)
        if self._network is None:
            self._network = self._for_inference(batch)
        if self._compiled:
            missing = self._input.size(images) - len(batch)
            batch = functional.pad(batch, (0, 0, 0, 0, 0, 0, 0, missing))
        return self._probabilities(self._network(batch)[: len(images)])

    @torch.inference_mode(False)
    @torch.no_grad()
    def _for_inference(self, batch: torch.Tensor) -> Network:
        return for_inference(self._source, self.precision, batch[:1].clone(), self._compiled)

    def _probabilities(self, outputs: torch.Tensor) -> np.ndarray:
        return fake_probability(outputs, self._output).cpu().numpy()


def even_parts(images: np.ndarray, most: int, workers: int) -> list[np.ndarray]:
    """Consecutive parts of at most `most`, as equal as may be, none empty; as many for each of `workers`, if there are
    enough pictures."""
    least = -(-len(images) // most)
    count = min(len(images), -(-least // workers) * workers)
    return np.array_split(images, count) if count else []

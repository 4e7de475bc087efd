"""Pictures of faces -> a network's scores of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from deepfake.images import IMAGENET, Normalization
from deepfake.precision import PRECISIONS
from deepfake.spec import OUTPUT_LOGIT, fake_probability

SCORE_BATCH = {"cpu": 8, "cuda": 64}
"""Faces a network call: bounds memory; on a CPU larger ones are no faster."""


class ScoringError(ValueError):
    """A network gave a score that is not a number."""


@runtime_checkable
class Streaming(Protocol):
    """A network that runs elsewhere: it is given batches ahead of those whose outputs have come."""

    def stream(self, batches: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
        """(n, 3, s, s) batches -> what the network puts out for all their pictures, in their order."""


class FaceInput:
    """Pictures of faces -> the batches that a network takes, where its weights are.

    Args:
        network: takes (n, 3, s, s) normalised pictures.
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

    def batches(self, images: np.ndarray) -> Iterator[torch.Tensor]:
        """(n, s, s, 3) uint8 RGB -> (up to SCORE_BATCH, 3, s, s) tensors in the weights' type."""
        size = SCORE_BATCH.get(self.device.type, SCORE_BATCH["cpu"])
        for start in range(0, len(images), size):
            yield self._normalised(images[start : start + size])

    def _normalised(self, images: np.ndarray) -> torch.Tensor:
        pixels = torch.from_numpy(np.ascontiguousarray(images)).to(self.device).permute(0, 3, 1, 2)
        values = pixels.float() / 255
        if self._input_size not in (None, pixels.shape[-1]):
            values = functional.interpolate(values, size=self._input_size, mode="bilinear")
        return ((values - self._mean) / self._std).to(self.dtype)


class FaceScorer:
    """Scores pictures of faces with one network, in batches, where the network's weights are.

    Args:
        network: (n, 3, s, s) normalised pictures -> what `output` says, in evaluation mode; or Streaming.
        precision: a name in PRECISIONS for mixed precision; None computes in the weights' own.
        output: one of `deepfake.spec.OUTPUTS`.
        input_size: see `FaceInput`.
    """

    def __init__(
        self,
        network: nn.Module,
        normalization: Normalization = IMAGENET,
        precision: str | None = None,
        output: str = OUTPUT_LOGIT,
        input_size: int | None = None,
    ) -> None:
        self._output = output
        self.network = network.to(memory_format=torch.channels_last)
        self._input = FaceInput(network, normalization, input_size)
        mixed = None if precision is None else PRECISIONS[precision]
        self._autocast = None if mixed == self._input.dtype else mixed

    @torch.inference_mode()
    def __call__(self, images: np.ndarray) -> np.ndarray:
        """(n, s, s, 3) uint8 RGB -> (n,) float32 probabilities of fake.

        Raises:
            ScoringError: a score is not a number.
        """
        batches = self._input.batches(images)
        outputs = self.network.stream(batches) if isinstance(self.network, Streaming) else map(self._run, batches)
        scores = np.concatenate([np.empty(0, np.float32), *map(self._probabilities, outputs)])
        if not np.isfinite(scores).all():
            raise ScoringError("the network gave a score that is not a number; try --precision float32")
        return scores

    def _run(self, batch: torch.Tensor) -> torch.Tensor:
        with torch.autocast(self._input.device.type, self._autocast, enabled=self._autocast is not None):
            return self.network(batch)

    def _probabilities(self, outputs: torch.Tensor) -> np.ndarray:
        return fake_probability(outputs, self._output).cpu().numpy()

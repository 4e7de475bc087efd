"""Pictures of faces -> a network's scores of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from deepfake.images import IMAGENET, Normalization
from deepfake.models.inference import for_inference
from deepfake.precision import FLOAT32
from deepfake.spec import OUTPUT_LOGIT, fake_probability

SCORE_BATCH = {"cpu": 8, "cuda": 64}
"""Faces a network call: bounds memory; on a CPU larger ones are no faster."""


Scorer = Callable[[np.ndarray], np.ndarray]
"""(n, s, s, 3) uint8 RGB faces -> (n,) float32 probabilities of fake; `FaceScorer` is one."""


def batch_size(device: torch.device) -> int:
    """Faces a network call on a device."""
    return SCORE_BATCH.get(device.type, SCORE_BATCH["cpu"])


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
        size = batch_size(self.device)
        for start in range(0, len(images), size):
            yield self._normalised(images[start : start + size])

    def _normalised(self, images: np.ndarray) -> torch.Tensor:
        pixels = torch.from_numpy(np.ascontiguousarray(images)).to(self.device).permute(0, 3, 1, 2)
        values = pixels.float() / 255
        if self._input_size not in (None, pixels.shape[-1]):
            values = functional.interpolate(values, size=self._input_size, mode="bilinear")
        normalised = ((values - self._mean) / self._std).to(self.dtype)
        return normalised.contiguous(memory_format=torch.channels_last)


class FaceScorer:
    """Scores pictures of faces with one network, in batches, where the network's weights are.

    Args:
        network: (n, 3, s, s) normalised pictures -> what `output` says, in evaluation mode; or Streaming.
        precision: a name in PRECISIONS; for float32 the network computes in its weights' own type.
        output: one of `deepfake.spec.OUTPUTS`.
        input_size: see `FaceInput`.
        compiled: see `deepfake.models.inference.for_inference`; short batches are filled up, so that one size is
            compiled.
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
        self._output = output
        self._input = FaceInput(network, normalization, input_size)
        self._fills_up = compiled
        self.network = for_inference(network, precision, compiled, input_size)

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
        missing = batch_size(self._input.device) - len(batch) if self._fills_up else 0
        return self.network(functional.pad(batch, (0, 0, 0, 0, 0, 0, 0, missing)) if missing else batch)[: len(batch)]

    def _probabilities(self, outputs: torch.Tensor) -> np.ndarray:
        return fake_probability(outputs, self._output).cpu().numpy()

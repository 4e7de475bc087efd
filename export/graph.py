"""The network as it is exported, and an exported file in the place of a network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from deepfake.backends.facts import ExportFacts
from deepfake.media.images import Normalization
from deepfake.prediction.face_scorer import FaceInput


@dataclass(frozen=True)
class ExportJob:
    """What a format is made from.

    Attributes:
        network: in evaluation mode, float32.
        facts: go into the file.
        crops: (n, s, s, 3) uint8 RGB pictures of real faces, to calibrate on.
        opset: the version of the ONNX operators.
    """

    network: nn.Module
    facts: ExportFacts
    crops: np.ndarray
    opset: int

    def inputs(self) -> list[torch.Tensor]:
        """The crops as the file is given them, one batch of one each."""
        face_input = FaceInput(self.network, self.facts.normalization, self.facts.spec.input_size)
        return [batch.cpu() for crop in self.crops for batch in face_input.batches(crop[None])]


class ExportedGraph(nn.Module):
    """A network under the input's name, the normalization in front of it if that is to be folded in."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, network: nn.Module, folded: Normalization | None = None) -> None:
        super().__init__()
        self.network = network
        self.folds = folded is not None
        if folded is not None:
            self.register_buffer("mean", 255 * torch.tensor(folded.mean)[:, None, None])
            self.register_buffer("std", 255 * torch.tensor(folded.std)[:, None, None])

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """(n, 3, s, s): normalized pictures, or pixel values in 0..255 if the normalization is folded in."""
        return self.network((pictures - self.mean) / self.std if self.folds else pictures)

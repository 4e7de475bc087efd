"""What another runtime runs, in the place of a network."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from deepfake.backends.facts import ExportFacts

Run = Callable[[torch.Tensor], torch.Tensor]
"""(n, 3, s, s) float32 pictures -> what the network puts out, float32, on the same device."""

INPUT, OUTPUT = "pictures", "logits"
"""The names of the exported graph's input, (n, 3, s, s) float32, and output, (n, 1) or (n, 2) float32."""


class RunNetwork(nn.Module):
    """What another runtime runs, in the place of a network: what scores with a network scores with this.

    It has no weights of its own; its one empty parameter says where and in which type it takes pictures.
    """

    def __init__(self, run: Run, device: str = "cpu") -> None:
        super().__init__()
        self._run = run
        self.place = nn.Parameter(torch.empty(0, device=device), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, 3, s, s) normalized pictures -> (n, 1) or (n, 2) logits, float32."""
        return self._run(x.contiguous())


class ExportedNetwork(RunNetwork):
    """An exported file in the place of a network; it takes pictures as `facts.normalization` leaves them."""

    def __init__(self, run: Run, facts: ExportFacts, device: str = "cpu") -> None:
        super().__init__(run, device)
        self.facts = facts

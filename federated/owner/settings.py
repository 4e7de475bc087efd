"""How owners train: what a run is asked for, as it travels to them."""

from __future__ import annotations

import json
from dataclasses import dataclass

from training.config import DEFAULT_SEED, TrainConfig

AVERAGE, LOCAL = "average", "local"
BATCH_NORMS = (AVERAGE, LOCAL)
"""Whether batch norms' running means and variances are averaged like weights (McMahan et al. 2017 average all there
is), or stay with their owner while the weights are shared (SiloBN, Andreux et al. 2020)."""


@dataclass(frozen=True)
class LocalSettings:
    """How owners train.

    Attributes:
        config: the recipe; its `batch_size` and `batches_per_epoch` are an owner's own.
        seed: draws, augments.
        epochs: of an owner's data a round.
        rounds: the run's; after so many `train` only hands the weights on (Substra's federated averaging has its
            owners train once more behind the last mean, for nobody). None: it always trains.
        batch_norm: one of `BATCH_NORMS`.
        workers: loader processes.
        device: `auto`, `cpu` or `cuda`.
    """

    config: TrainConfig
    seed: int = DEFAULT_SEED
    epochs: int = 1
    rounds: int | None = None
    batch_norm: str = AVERAGE
    workers: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError(f"{self.epochs} epochs a round: expected 1 or more")
        if self.batch_norm not in BATCH_NORMS:
            raise ValueError(f"batch norm {self.batch_norm!r}: expected {' or '.join(BATCH_NORMS)}")

    def to_json(self) -> str:
        """All that what is computed depends on."""
        kept = {"seed": self.seed, "epochs": self.epochs, "batch_norm": self.batch_norm}
        return json.dumps({"config": self.config.to_dict(), **kept}, sort_keys=True)

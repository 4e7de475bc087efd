"""How owners train: what a run is asked for, as it travels to them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge
from typing_extensions import Doc

from training.config import DEFAULT_SEED, TrainConfig

AVERAGE: Literal["average"] = "average"
LOCAL: Literal["local"] = "local"
BATCH_NORMS = (AVERAGE, LOCAL)
"""Whether batch norms' running means and variances are averaged like weights (McMahan et al. 2017 average all there
is), or stay with their owner while the weights are shared (SiloBN, Andreux et al. 2020)."""


@dataclass(frozen=True)
class LocalSettings:
    """How owners train.

    Attributes:
        config: the recipe; its `batch_size` and `batches_per_epoch` are an owner's own.
        rounds: the run's; after so many `train` only hands the weights on (Substra's federated averaging schedules one
            unused training after the last aggregation). None: it always trains.
    """

    config: TrainConfig
    seed: Annotated[int, Ge(1), Doc("draws and augments")] = DEFAULT_SEED
    epochs: Annotated[int, Ge(1), Doc("an owner's epochs a round, of the config's batches_per_epoch at most")] = 1
    rounds: int | None = None
    batch_norm: Annotated[
        Literal["average", "local"],
        Doc("running means and variances are averaged like weights, or stay with their owner"),
    ] = AVERAGE
    workers: Annotated[int, Ge(0), Doc("loader processes of a task")] = 0
    device: Annotated[Literal["auto", "cpu", "cuda"], Doc("auto: cuda if there")] = "auto"

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError(f"{self.epochs} epochs a round: expected 1 or more")
        if self.batch_norm not in BATCH_NORMS:
            raise ValueError(f"batch norm {self.batch_norm!r}: expected {' or '.join(BATCH_NORMS)}")

    def to_json(self) -> str:
        """All that what is computed depends on."""
        kept = {"seed": self.seed, "epochs": self.epochs, "batch_norm": self.batch_norm}
        return json.dumps({"config": self.config.to_dict(), **kept}, sort_keys=True)

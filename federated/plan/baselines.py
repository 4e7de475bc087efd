"""What federated averaging is compared with: each owner alone, and all data in one place, trained as long."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from federated.owner.finished import FinishedTasks
from federated.owner.local_training import LocalTraining
from federated.owner.metrics import METRICS
from federated.owner.settings import LocalSettings
from federated.plan.plan import PERFORMANCE_COLUMNS
from federated.samples.samples import open_samples
from federated.samples.splitting import TEST, TRAIN

POOLED = "pooled"
ALONE = "{} alone"

log = logging.getLogger(__name__)


def baselines(
    owners: Mapping[str, Path], settings: LocalSettings, start: Path, rounds: int, finished: FinishedTasks
) -> Iterator[pd.DataFrame]:
    """Trains each owner alone and then the pool, by the federated run's rounds, settings and start; yields each one's
    metrics at all owners, columns `PERFORMANCE_COLUMNS`.

    Raises:
        ValueError, NonFiniteLoss: see `LocalTraining`.
    """
    tests = {owner: open_samples([folder / TEST]) for owner, folder in owners.items()}
    trainings = {ALONE.format(owner): [folder / TRAIN] for owner, folder in owners.items()}
    trainings[POOLED] = [folder / TRAIN for folder in owners.values()]
    for name, folders in trainings.items():
        log.info("for comparison: %s", name)
        data = open_samples(folders)
        local = LocalTraining.read(settings, start)
        rows = []
        for round_ in range(rounds + 1):
            if round_ > 0:
                local, update = finished.train(local, data)
                local.adopt(update.weights)
            for owner, test in tests.items():
                predictions = finished.predict(local, test)
                rows += [(name, owner, round_, m, metric(test, predictions)) for m, metric in METRICS.items()]
        yield pd.DataFrame(rows, columns=list(PERFORMANCE_COLUMNS))

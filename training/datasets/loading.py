"""Data loaders over samples; ranks share the samples without counting one twice."""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterable
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader

from deepfake.processes import cap_threads
from training.datasets.batch import Batch, collate

PREFETCH_BATCHES = 4
"""Batches each worker prepares ahead."""

WORKER_GRACE_SECONDS = 30
"""So long a worker goes on after SIGTERM."""


def training_positions(
    samples: int, steps: int, batch_size: int, rank: int, world_size: int, first: int = 0
) -> np.ndarray:
    """Positions in the epoch that `rank` trains on from step `first` on, in order: step s takes
    `s * batch_size * world_size` and on, so that the first `steps` global batches hold the same samples for any number
    of ranks."""
    wanted = np.arange(steps * batch_size * world_size)
    if wanted.size > samples:
        raise ValueError(f"{steps} steps need {wanted.size} samples; there are {samples}")
    return wanted.reshape(steps, world_size, batch_size)[first:, rank].reshape(-1)


def validation_positions(samples: int, rank: int, world_size: int) -> np.ndarray:
    """Each position for exactly one rank; ranks differ by one sample at most."""
    return np.arange(rank, samples, world_size)


def make_loader(dataset: Any, batch_size: int, workers: int, pin_memory: bool) -> DataLoader:
    """Batches of a dataset in its own order. With workers, this process' OpenCV goes on with a single thread."""
    if workers > 0:
        # OpenCV's threads do not survive a fork, and a child that waits for them hangs: end them first.
        cv2.setNumThreads(1)
    # The loader draws a seed for its workers; a generator of its own leaves the network's random state alone.
    generator = torch.Generator()
    generator.manual_seed(0)
    return DataLoader(
        dataset,
        batch_size=batch_size,
        shuffle=False,
        num_workers=min(workers, -(-len(dataset) // batch_size)),
        collate_fn=collate,
        pin_memory=pin_memory,
        worker_init_fn=_start_worker,
        prefetch_factor=PREFETCH_BATCHES if workers and len(dataset) else None,
        generator=generator,
    )


def on_device(batches: Iterable[Batch], device: torch.device) -> Generator[Batch]:
    """Batches on the device; on CUDA the next one is copied while the one before is worked on."""
    if device.type != "cuda":
        for batch in batches:
            yield batch.to(device)
        return
    copying = torch.cuda.Stream(device)
    ahead: tuple[Batch, torch.cuda.Event] | None = None
    for batch in batches:
        with torch.cuda.stream(copying):
            copied = batch.to(device), copying.record_event()
        if ahead is not None:
            yield _arrived(*ahead)
        ahead = copied
    if ahead is not None:
        yield _arrived(*ahead)


def _arrived(batch: Batch, copied: torch.cuda.Event) -> Batch:
    """The batch, for kernels launched from now on."""
    working = torch.cuda.current_stream(batch.labels.device)
    working.wait_event(copied)
    batch.on_stream(working)
    return batch


def _start_worker(worker: int) -> None:
    # One thread each: the workers are the parallelism.
    cap_threads(1)
    # SIGTERM may go to all processes of a run, and the one that trains may still wait for data; it ends its workers
    # itself. None stays for longer than the run may.
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(WORKER_GRACE_SECONDS))

"""Data loaders over samples; ranks share the samples without counting one twice."""

from __future__ import annotations

import os
import pickle
import signal
import tempfile
from collections.abc import Generator, Iterable, Iterator
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader

from deepfake.parallel.pool import cap_threads
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
    return _loader(dataset, min(workers, -(-len(dataset) // batch_size)), pin_memory, batch_size=batch_size)


def _loader(dataset: Any, workers: int, pin_memory: bool, **batching: Any) -> DataLoader:
    if workers > 0:
        # OpenCV's threads do not survive a fork, and a child that waits for them hangs: end them first.
        cv2.setNumThreads(1)
    # The loader draws a seed for its workers; a generator of its own leaves the network's random state alone.
    generator = torch.Generator()
    generator.manual_seed(0)
    return DataLoader(
        dataset,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin_memory,
        worker_init_fn=_start_worker,
        prefetch_factor=PREFETCH_BATCHES if workers else None,
        generator=generator,
        **batching,
    )


class EpochLoader:
    """Batches of one data set after another, by worker processes that stay: each keeps the libraries it has loaded.

    A data set must be one that can be pickled.
    """

    def __init__(self, batch_size: int, workers: int, pin_memory: bool) -> None:
        self._batch_size = batch_size
        self._workers = workers
        self._pin_memory = pin_memory
        self._current = _CurrentDataset(batch_size)
        self._loader: DataLoader | None = None

    def batches(self, dataset: Any) -> Iterable[Batch]:
        """Batches of the dataset in its own order; what is left of the dataset before is dropped."""
        if self._workers == 0 or len(dataset) == 0:
            return make_loader(dataset, self._batch_size, self._workers, self._pin_memory)
        self._current.become(dataset)
        if self._loader is None:
            self._loader = _loader(
                self._current,
                self._workers,
                self._pin_memory,
                batch_sampler=self._current,
                persistent_workers=True,
                # Workers share a file without a name.
                multiprocessing_context="fork",
            )
        return self._loader


class _CurrentDataset:
    """The dataset of the moment, which workers read from a file when they are first asked for a sample of it; and its
    samples' numbers in batches."""

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as this)
        self._number = self._length = 0
        self._read: tuple[int, Any] = (0, None)

    def become(self, dataset: Any) -> None:
        self._file.seek(0)
        self._file.truncate()
        pickle.dump(dataset, self._file)
        self._file.flush()
        self._number += 1
        self._length = len(dataset)

    def __len__(self) -> int:
        return -(-self._length // self._batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for start in range(0, self._length, self._batch_size):
            yield [(self._number, i) for i in range(start, min(start + self._batch_size, self._length))]

    def __getitem__(self, key: tuple[int, int]) -> Any:
        number, i = key
        if self._read[0] != number:
            # Not by seeking: processes share the place in the file.
            content = os.pread(self._file.fileno(), os.fstat(self._file.fileno()).st_size, 0)
            self._read = number, pickle.loads(content)
        return self._read[1][i]


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
    # Signals may go to all processes of a run. The one that trains ends its workers itself; it may still wait for data
    # after SIGTERM. None stays for longer than the run may.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(WORKER_GRACE_SECONDS))

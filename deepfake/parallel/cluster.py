"""The same function over many videos on a Dask cluster: its workers are processes on this or on other machines.

A worker that dies in the middle loses nothing: Dask gives its videos to others. A video whose worker dies again and
again is tried once more with nothing beside it, then it is a failure with a reason. Few videos are handed in at a time,
so neither end holds many. All machines see the data at the same path, and run the same code: both are checked.
"""

from __future__ import annotations

import deepfake.parallel.idle_threads

import contextlib
import functools
import logging
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from deepfake.parallel.pool import cap_threads, default_workers, portable
from deepfake.parallel.workers import UNMEASURED, Cost, Outcome, Task
from deepfake.storage.disk_full import OutOfSpace
from deepfake.version import code_version

if TYPE_CHECKING:
    from distributed import Client, Future

Item = TypeVar("Item")

LOCAL = "local"
"""The address of a cluster that is started here, and ends with its client."""

GPU = "GPU"
"""The resource that workers offer, as `dask worker --resources GPU=1`."""

WINDOW = 256
WINDOW_PER_THREAD = 4
"""Videos handed in and not yet done: the larger of the two, so that clusters that grow with the work see some."""

CONNECT_SECONDS = 10.0
PATIENCE_SECONDS = 300.0
"""How long a cluster may be without a worker that can do the work: batch systems start them when they please."""

_CHECK_SECONDS = 1.0
_ENDING_SECONDS = 60.0
_THREADS = 1
"""Threads of the numeric libraries in a worker, as in `pool`: other numbers round otherwise."""

DIED = "every worker process that tried it died (out of memory, or a crash in the decoder)"


class ClusterError(ValueError):
    """There is no such cluster, it was lost, or its workers cannot do the work."""


@dataclass(frozen=True)
class Requirements:
    """What a worker must have: `source` of its code's version, and a file that only the shared file system holds."""

    source: str
    marker: Path


@dataclass(frozen=True)
class Answer:
    """Result of one item; `fault` says why this worker cannot run the task."""

    cost: Cost = UNMEASURED
    error: Exception | None = None
    fault: str | None = None


@contextlib.contextmanager
def connected(address: str, workers: int | None = None) -> Iterator[Client]:
    """Yield a client of the scheduler at `address`, or of a cluster on this machine that ends with it (`LOCAL`).

    Args:
        workers: processes of a local cluster; one a core by default.

    Raises:
        ClusterError: no Dask, or nobody answers at the address.
    """
    try:
        import distributed
        from distributed.comm import get_address_host_port
    except ImportError as error:
        raise ClusterError(
            f"clusters need Dask ({error}); install it: python -m pip install -e '.[cluster]'"
        ) from error
    logger = logging.getLogger("distributed")
    level = logger.level
    # Deaths of workers and lost connections become failures and errors.
    logger.setLevel(logging.CRITICAL)
    try:
        with contextlib.ExitStack() as stack:
            target: Any = address
            if address == LOCAL:
                options = {"threads_per_worker": 1, "dashboard_address": None, "silence_logs": logging.CRITICAL}
                count = workers or default_workers()
                target = stack.enter_context(distributed.LocalCluster(n_workers=count, host="127.0.0.1", **options))
            try:
                if target == address:
                    get_address_host_port(address)  # a client of no address would be waited for at the program's end
                client = distributed.Client(target, timeout=CONNECT_SECONDS, set_as_default=False)
            except (OSError, ValueError, TimeoutError, distributed.TimeoutError, ImportError, RuntimeError) as error:
                reason = f"scheduler {address!r}: no Dask scheduler answers there ({_one_line(error)})"
                raise ClusterError(f"{reason}; 'dask scheduler' starts one and prints its address") from error
            yield stack.enter_context(client)
    finally:
        logger.setLevel(level)


def offers_gpu(address: str) -> bool:
    """Whether a worker of the cluster offers a GPU. Raises ClusterError as `connected` does."""
    with connected(address) as client:
        return any(_resources(client).values())


def outcomes(
    todo: Sequence[Item],
    task: Task[Item],
    client: Client,
    marker: Path,
    on_gpu: bool = False,
    patience: float = PATIENCE_SECONDS,
) -> Iterator[Outcome[Item]]:
    """Yield what comes of every item on a cluster, in the order of completion.

    Args:
        task: Dask pickles it, and each item: by value what the main program defines, by name what modules do.
        marker: a file that exists now, on the file system that holds the data.
        on_gpu: ask for a `GPU` if any worker offers one.
        patience: seconds without a worker before the run is given up.

    Raises:
        ClusterError: workers cannot do the work, there are none, or the scheduler was lost.
        OutOfSpace: the disk is full.

    Ended early, it takes back what is queued, and waits until no worker is at an item any more.
    """
    if not todo:
        return
    requirements = Requirements(code_version().source, marker)
    executor = DaskExecutor(client, task, requirements, on_gpu, patience)
    executor.check_workers()
    suspects = []
    for item, answer in executor.do(iter(todo)):
        if answer is None:
            suspects.append(item)
        else:
            yield _outcome(item, answer)
    for suspect in suspects:  # it may have died of its neighbor's crash
        for item, answer in executor.do(iter([suspect])):
            yield Outcome(item, DIED) if answer is None else _outcome(item, answer)


def _outcome(item: Item, answer: Answer) -> Outcome[Item]:
    if answer.fault is not None:
        raise ClusterError(answer.fault)
    if isinstance(answer.error, OutOfSpace):
        raise answer.error
    return Outcome(item, None if answer.error is None else str(answer.error), answer.cost)


@dataclass
class DaskExecutor(Generic[Item]):
    """Runs one task on the workers of a cluster."""

    client: Client
    task: Task[Item]
    requirements: Requirements
    on_gpu: bool
    patience: float

    def check_workers(self) -> None:
        """Wait for the first worker, and check that all that are there can run the task.

        Raises:
            ClusterError: no worker came, or one cannot run the task.
        """
        from distributed import TimeoutError as DaskTimeoutError

        try:
            self.client.wait_for_workers(1, timeout=self.patience)
        except (TimeoutError, DaskTimeoutError) as error:
            raise ClusterError(self._no_worker()) from error
        answers = self.client.run(_probe(self.requirements), on_error="return")
        for address, fault in sorted(answers.items()):
            if fault is not None:
                reason = fault if isinstance(fault, str) else _one_line(fault)
                raise ClusterError(f"worker {address}: {reason}")
        self._asked = {GPU: 1} if self.on_gpu and any(_resources(self.client).values()) else None

    def do(self, todo: Iterator[Item]) -> Iterator[tuple[Item, Answer | None]]:
        """Yield each item with its worker's answer; None if all workers that tried it died."""
        ended: queue.SimpleQueue[Future] = queue.SimpleQueue()
        pending: dict[Any, tuple[Future, Item]] = {}
        window = max(WINDOW, WINDOW_PER_THREAD * sum(self.client.nthreads().values()))
        try:
            while True:
                while len(pending) < window and (new := next(todo, _NONE)) is not _NONE:
                    future = self._submit(new)  # type: ignore[arg-type]
                    pending[future.key] = future, new  # type: ignore[assignment]
                    future.add_done_callback(ended.put)
                if not pending:
                    return
                future = self._next(ended)
                answer = self._answer(future)
                yield pending.pop(future.key)[1], answer
        finally:
            self._take_back([future for future, _ in pending.values()])

    def _submit(self, item: Item) -> Future:
        # Not pure: a video is done again when it is asked for again.
        return self.client.submit(_perform, self.task, self.requirements, item, pure=False, resources=self._asked)

    def _next(self, ended: queue.SimpleQueue[Future]) -> Future:
        """Wait for the next item that has ended."""
        without_worker = 0.0
        before = time.monotonic()
        while True:
            with contextlib.suppress(queue.Empty):
                return ended.get(timeout=_CHECK_SECONDS)
            now = time.monotonic()
            without_worker = 0.0 if self._has_worker() else without_worker + now - before
            before = now
            if without_worker > self.patience:
                raise ClusterError(self._no_worker())

    def _has_worker(self) -> bool:
        if self.client.status != "running":
            raise ClusterError(_LOST)
        offered = _resources(self.client)
        return any(offered.values()) if self._asked else bool(offered)

    def _no_worker(self) -> str:
        asked = " with a GPU" if self.on_gpu else ""
        return f"the cluster has had no worker{asked} for {self.patience:g} s; start some ('dask worker ADDRESS')"

    def _answer(self, future: Future) -> Answer | None:
        from distributed import KilledWorker

        try:
            # Its worker may have died with the answer: then this waits until another one has it.
            return future.result()
        except KilledWorker:
            return None
        except Exception as error:
            if self.client.status != "running" or future.cancelled():
                raise ClusterError(_LOST) from error
            raise ClusterError(f"a worker could not begin the work: {_one_line(error)}") from error

    def _take_back(self, futures: Sequence[Future]) -> None:
        """Cancel what is queued, and wait for the workers to end what they are at: the next run writes there."""
        if not futures or self.client.status != "running":
            return
        from distributed import TimeoutError as DaskTimeoutError

        keys = {future.key for future in futures}
        # Lost meanwhile, there is nothing to take back; the reason why it ended is the one to tell.
        with contextlib.suppress(OSError, TimeoutError, DaskTimeoutError):
            self.client.cancel(futures, force=True)
            end = time.monotonic() + _ENDING_SECONDS
            while time.monotonic() < end and any(self.client.run(_busy, keys=keys, on_error="ignore").values()):
                time.sleep(0.1)


_NONE = object()

_LOST = "the connection to the scheduler was lost; run the same command again to continue"


def _busy(keys: set[str], dask_worker: Any) -> bool:
    """Return, on a worker, whether it is at one of these; cancelled ones go on to their end."""
    return any(task.key in keys for task in dask_worker.state.executing)


def _resources(client: Client) -> dict[str, float]:
    """Return how many GPUs each worker offers, by its address."""
    workers = client.scheduler_info()["workers"]
    return {address: facts.get("resources", {}).get(GPU, 0) for address, facts in workers.items()}


def _probe(requirements: Requirements) -> Callable[[], str | None]:
    """`fault` as a function that travels by value: another version of the code may lack this module."""
    source, marker = requirements.source, str(requirements.marker)

    def probe() -> str | None:
        try:
            from pathlib import Path

            from deepfake.parallel.cluster import Requirements, fault
        except ImportError as error:
            return f"this version of the code is not installed there ({error}); install it and start the worker again"
        return fault(Requirements(source, Path(marker)))

    return probe


@functools.cache
def fault(requirements: Requirements) -> str | None:
    """Return why this process cannot run the task; None if it can."""
    own = code_version().source
    if own != requirements.source:
        return (
            f"it runs another version of the code ({own}, here {requirements.source}); "
            "install the same one there and start the worker again"
        )
    if not requirements.marker.is_file():
        return (
            f"it does not see {requirements.marker}: the data must be on a file system that all machines share, "
            "at the same path"
        )
    return None


def _perform(task: Task[Item], requirements: Requirements, item: Item) -> Answer:
    """Do the work on one item, on a worker."""
    if reason := fault(requirements):
        return Answer(fault=f"a worker came that cannot do the work: {reason}")
    try:
        if task.prepare is not None:
            task.prepare()
    except Exception as error:  # nothing can be done with this worker, whatever the item
        return Answer(fault=f"a worker cannot load what the work needs: {_one_line(error)}")
    cap_threads(_THREADS)
    costs, cost = task(item), UNMEASURED
    try:
        cost = next(costs, cost)
        next(costs, None)  # raises what the work has raised
    except Exception as error:  # handed on to the client, who knows what a failed item means
        return Answer(cost, portable(error))
    return Answer(cost)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__

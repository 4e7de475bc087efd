"""Counters and histograms in the text format that Prometheus reads (exposition format 0.0.4)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from threading import Lock

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Upper bounds of a histogram's buckets, in seconds."""

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Counter:
    """A number for each combination of label values that only grows."""

    def __init__(self, name: str, told: str, labels: Sequence[str] = ()) -> None:
        self._name, self._told, self._labels = name, told, labels
        self._values: dict[tuple[str, ...], float] = {} if labels else {(): 0.0}
        self._lock = Lock()

    def add(self, *values: object, amount: float = 1) -> None:
        """Adds to the number with these label values, one for each label."""
        key = tuple(map(str, values))
        assert len(key) == len(self._labels)
        with self._lock:
            self._values[key] = self._values.get(key, 0.0) + amount

    def lines(self) -> Iterator[str]:
        yield from _head(self._name, self._told, "counter")
        with self._lock:
            values = sorted(self._values.items())
        yield from (f"{self._name}{_braces(self._labels, key)} {value:.15g}" for key, value in values)


class Histogram:
    """How many values lie at or under each bound, and their sum."""

    def __init__(self, name: str, told: str, bounds: Sequence[float] = SECONDS) -> None:
        self._name, self._told, self._bounds = name, told, bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._lock = Lock()

    def observe(self, value: float) -> None:
        with self._lock:
            self._counts[bisect_left(self._bounds, value)] += 1
            self._sum += value

    def lines(self) -> Iterator[str]:
        yield from _head(self._name, self._told, "histogram")
        with self._lock:
            counts, total = list(self._counts), self._sum
        below = 0
        for bound, count in zip([*(f"{bound:g}" for bound in self._bounds), "+Inf"], counts):
            below += count
            yield f'{self._name}_bucket{{le="{bound}"}} {below}'
        yield f"{self._name}_sum {total:.6f}"
        yield f"{self._name}_count {below}"


class Gauge:
    """A number that is asked for when it is read."""

    def __init__(self, name: str, told: str, read: Callable[[], float]) -> None:
        self._name, self._told, self._read = name, told, read

    def lines(self) -> Iterator[str]:
        yield from _head(self._name, self._told, "gauge")
        yield f"{self._name} {self._read():g}"


def write_metrics(metrics: Sequence[Counter | Histogram | Gauge]) -> str:
    """The metrics as text."""
    return "".join(f"{line}\n" for metric in metrics for line in metric.lines())


def _head(name: str, told: str, kind: str) -> Iterator[str]:
    yield f"# HELP {name} {told}"
    yield f"# TYPE {name} {kind}"


def _braces(labels: Sequence[str], values: Sequence[str]) -> str:
    pairs = ",".join(f'{label}="{value.translate(_ESCAPES)}"' for label, value in zip(labels, values))
    return f"{{{pairs}}}" if pairs else ""

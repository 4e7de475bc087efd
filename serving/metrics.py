"""The service's metrics for Prometheus, in a registry of their own: several services in one process do not mix."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE

from deepfake.scoring.results import VideoResult

__all__ = ["CONTENT_TYPE", "ServiceMetrics"]

BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Upper bounds of the histograms' buckets, in seconds."""


class ServiceMetrics:
    """Counts requests and results.

    Args:
        queue_length: returns how many uploads are read, wait or are worked on.
    """

    def __init__(self, queue_length: Callable[[], float]) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "deepfake_requests_total", "Requests by path and HTTP status.", ("path", "status"), registry=registry
        )
        self._results = Counter(
            "deepfake_results_total", "Results by the status of the video.", ("status",), registry=registry
        )
        self._faces = Counter("deepfake_faces_scored_total", "Faces scored.", registry=registry)
        self._predict = Histogram(
            "deepfake_predict_seconds",
            "Seconds of a POST /predict, waiting included.",
            buckets=BUCKETS,
            registry=registry,
        )
        self._scoring = Histogram(
            "deepfake_scoring_seconds",
            "Seconds of decoding, detecting and scoring a result.",
            buckets=BUCKETS,
            registry=registry,
        )
        length = Gauge("deepfake_queue_length", "Uploads that are read, wait or are worked on.", registry=registry)
        length.set_function(queue_length)

    def count_request(self, path: str, status: int) -> None:
        """Count a request that was answered."""
        self._requests.labels(path, status).inc()

    def observe_predict(self, seconds: float) -> None:
        """Record how long a POST /predict took."""
        self._predict.observe(seconds)

    def count_result(self, result: VideoResult) -> None:
        """Count the result of an upload, its faces, and how long it took."""
        self._results.labels(result.status).inc()
        self._faces.inc(result.scored_faces)
        self._scoring.observe(result.seconds)

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format (`CONTENT_TYPE`)."""
        return generate_latest(self._registry)

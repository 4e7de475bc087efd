"""The service's metrics as Prometheus reads them."""

from prometheus_client.parser import text_string_to_metric_families

from deepfake.scoring.results import NO_FACE, VideoResult
from serving.metrics import ServiceMetrics


def read(metrics: ServiceMetrics) -> dict[str, float]:
    """`name{label=value,...}` -> value; without the times at which series began."""
    found = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sample.labels.items())
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return {name: value for name, value in found.items() if "_created{" not in name}


def test_requests_and_results_are_counted():
    metrics = ServiceMetrics(lambda: 3)
    for status in (200, 200, 404):
        metrics.count_request("/health", status)
    metrics.observe_predict(0.5)
    metrics.observe_predict(7)
    metrics.count_result(VideoResult(NO_FACE, seconds=400))
    found = read(metrics)
    assert found["deepfake_requests_total{path=/health,status=200}"] == 2
    assert found["deepfake_requests_total{path=/health,status=404}"] == 1
    assert found["deepfake_results_total{status=no_face}"] == 1
    assert found["deepfake_faces_scored_total{}"] == 0
    assert found["deepfake_queue_length{}"] == 3
    assert [found[f"deepfake_predict_seconds_bucket{{le={bound}}}"] for bound in ("0.5", "5.0", "10.0", "+Inf")] == [
        *(1, 1, 2, 2)
    ]
    assert (found["deepfake_predict_seconds_sum{}"], found["deepfake_predict_seconds_count{}"]) == (7.5, 2)
    assert found["deepfake_scoring_seconds_bucket{le=300.0}"] == 0
    assert found["deepfake_scoring_seconds_bucket{le=+Inf}"] == 1


def test_services_do_not_share_metrics():
    one, other = ServiceMetrics(lambda: 0), ServiceMetrics(lambda: 0)
    before = read(other)
    one.count_request("/health", 200)
    assert read(other) == before


def test_large_counts_stay_exact():
    metrics = ServiceMetrics(lambda: 123456789)
    assert read(metrics)["deepfake_queue_length{}"] == 123456789

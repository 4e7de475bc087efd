"""Prometheus' text format."""

from serving.metrics import Counter, Gauge, Histogram, write_metrics


def test_the_text_has_the_form_that_is_read():
    counter = Counter("a_total", "Told.", ("path", "status"))
    counter.add("/x", 200)
    counter.add("/x", 200, amount=2)
    counter.add('q"\\\n', 404)
    histogram = Histogram("s", "Seconds.", (0.5, 1))
    for value in (0.5, 0.75, 7):
        histogram.observe(value)
    text = write_metrics([counter, histogram, Gauge("g", "Now.", lambda: 3)])
    assert text.splitlines() == [
        "# HELP a_total Told.",
        "# TYPE a_total counter",
        'a_total{path="/x",status="200"} 3',
        r'a_total{path="q\"\\\n",status="404"} 1',
        "# HELP s Seconds.",
        "# TYPE s histogram",
        's_bucket{le="0.5"} 1',
        's_bucket{le="1"} 2',
        's_bucket{le="+Inf"} 3',
        "s_sum 8.250000",
        "s_count 3",
        "# HELP g Now.",
        "# TYPE g gauge",
        "g 3",
    ]
    assert text.endswith("\n")


def test_large_counts_stay_exact():
    counter = Counter("n_total", "Told.")
    counter.add(amount=123456789)
    assert "n_total 123456789\n" in write_metrics([counter])

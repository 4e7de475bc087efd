"""The timeline's numbers are where they belong, and it is well-formed."""

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visualize.report.timeline import Timeline, _ticks, draw_timeline


def parse(**changes):
    given = {
        "points": [(0.0, 0.0), (5.0, 0.5), (10.0, 1.0)],
        "end": 10.0,
        "unit": "seconds",
        "real_below": 0.2,
        "fake_above": 0.8,
        "color": "#123456",
    }
    return ElementTree.fromstring(str(draw_timeline(Timeline(**{**given, **changes}))))


def test_points_lie_between_the_axes():
    circles = parse().findall("circle")
    xs, ys = ([float(c.get(axis)) for c in circles] for axis in ("cx", "cy"))
    assert xs == sorted(xs) and ys == sorted(ys, reverse=True)
    assert xs[1] == pytest.approx((xs[0] + xs[2]) / 2, abs=0.1) and ys[1] == pytest.approx((ys[0] + ys[2]) / 2, abs=0.1)
    bands = parse().findall("rect")
    assert float(bands[0].get("y")) == ys[2] and float(bands[-1].get("y")) + float(bands[-1].get("height")) == ys[0]


def test_a_single_frame_can_be_drawn():
    assert len(parse(points=[(0.0, 0.4)], end=0.0).findall("circle")) == 1


@given(st.floats(1e-3, 1e5))
def test_ticks_are_few_and_round(end):
    ticks = _ticks(end)
    assert ticks[0] == 0 and ticks[-1] <= end * (1 + 1e-6) and len(ticks) <= 11
    assert end < 5e-3 or len(ticks) > 2

"""Score against time as a picture (SVG) for a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

WIDTH, HEIGHT = 1000, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 12, 10, 24
_MOST_TICKS = 10
_STEPS = (1, 2, 5)


@dataclass(frozen=True)
class Timeline:
    """One person's line.

    Attributes:
        points: (time, probability of fake) in order.
        end: the last time that was looked at.
        unit: of the times.
        real_below, fake_above: thresholds, drawn as bands.
        color: of the line, as in a style sheet.
    """

    points: Sequence[tuple[float, float]]
    end: float
    unit: str
    real_below: float
    fake_above: float
    color: str


def draw_timeline(line: Timeline) -> Markup:
    """The line over the bands of the verdicts, as an <svg> element; made of numbers alone."""
    end = max(line.end, 1e-9)

    def x(time: float) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * time / end

    def y(probability: float) -> float:
        return _TOP + (HEIGHT - _TOP - _BOTTOM) * (1 - probability)

    right = WIDTH - _RIGHT
    parts = [
        _band(y(1), y(line.fake_above), right, "#fdece6"),
        _band(y(line.fake_above), y(line.real_below), right, "#fdf6e3"),
        _band(y(line.real_below), y(0), right, "#e7f6ee"),
    ]
    for probability in (0.0, line.real_below, line.fake_above, 1.0):
        parts.append(_text(_LEFT - 4, y(probability) + 4, f"{probability:.2g}", "end"))
    for tick in _ticks(end):
        parts.append(
            f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{y(0):.1f}" y2="{y(0) + 4:.1f}" stroke="#98a2b3"/>'
        )
        parts.append(
            _text(
                x(tick),
                HEIGHT - 6,
                f"{tick:g}{' ' + line.unit if tick == 0 else ''}",
                "start" if tick == 0 else "middle",
            )
        )
    path = " ".join(f"{x(time):.1f},{y(value):.1f}" for time, value in line.points)
    parts.append(f'<polyline points="{path}" fill="none" stroke="{line.color}" stroke-width="2"/>')
    parts += [f'<circle cx="{x(t):.1f}" cy="{y(v):.1f}" r="3.5" fill="{line.color}"/>' for t, v in line.points]
    label = f"probability of fake against {line.unit}"
    return Markup(
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}" width="100%">{"".join(parts)}</svg>'
    )


def _band(top: float, bottom: float, right: float, color: str) -> str:
    return (
        f'<rect x="{_LEFT}" y="{top:.1f}" width="{right - _LEFT}" height="{max(bottom - top, 0):.1f}" fill="{color}"/>'
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="11" fill="#667085" text-anchor="{anchor}">{text}</text>'


def _ticks(end: float) -> list[float]:
    """Round times from 0 to the end, at most _MOST_TICKS + 1."""
    step, power = 1e-3, 1e-3
    while end / step > _MOST_TICKS:
        larger = [power * factor for factor in (*_STEPS, 10) if power * factor > step * 1.001]
        step = larger[0]
        if step >= power * 9.99:
            power *= 10
    return [round(i * step, 6) for i in range(int(end / step + 1e-9) + 1)]

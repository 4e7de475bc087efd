"""The page of what a data set has: its parts, what is missing, leaks, copies; one file of HTML."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from deepfake.datasets.description import KINDS, LABEL_NAMES, LEAKS, Description, Part
from deepfake.datasets.progress import describe_bytes
from deepfake.storage.names import escape
from visualize import colors
from visualize.page import plot, render

TEMPLATE = "description.html"
SHOWN = 50
"""Findings of a kind that the page shows; the table has all."""
MOST_BARS = 40
"""Of methods; the table has all."""
NO_METHOD = {"real": "reals", "fake": "fakes, method not named"}
_INCHES = 0.32
"""Height of a bar and the room around it."""


def render_description(root: Path, description: Description) -> str:
    """Return the page. Names are escaped, and it holds no address but its own picture's."""
    return render(
        TEMPLATE,
        title=f"Data set {escape(root.resolve().name)}",
        root=escape(str(root)),
        description=description,
        kinds=KINDS,
        leaks=LEAKS,
        shown=SHOWN,
        size=describe_bytes,
        escape=escape,
        methods=_plot(description.parts),
    )


def _plot(parts: list[Part]) -> str:
    """The reals and the fakes of each method, the most first."""
    from matplotlib.figure import Figure

    counts: Counter[tuple[str, str]] = Counter()
    for part in parts:
        counts[part.label, part.method or NO_METHOD[part.label]] += part.videos
    bars = counts.most_common(MOST_BARS)[::-1]
    figure = Figure(figsize=(7.2, 0.4 + _INCHES * len(bars)), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set_xticks([])
    axes.margins(x=0.12, y=0.02)
    drawn = axes.barh(
        [escape(method) for (_, method), _ in bars], [count for _, count in bars],
        color=[colors.REAL if label == LABEL_NAMES[0] else colors.FAKE for (label, _), _ in bars],
    )  # fmt: skip
    axes.bar_label(drawn, [f"{count:,}" for _, count in bars], padding=4)
    return plot(figure)

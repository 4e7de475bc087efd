"""The page of a data set: its figures as tables and plots, in one file of HTML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from deepfake.datasets.progress import describe_bytes
from deepfake.storage.names import escape
from visualize import colors
from visualize.dataset.dataset_facts import Facts
from visualize.page import plot, render

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TEMPLATE = "stats.html"
SHOWN = 20
"""Entries of a long list that are shown."""

OTHER_COLOR = "#2e6edc"
MOST_BARS = 60
PERCENTILES = (5, 25, 50, 75, 95)


def render_stats(facts: Facts) -> str:
    """The page. It holds no address but its own pictures', and every name is escaped."""
    sides, scores = facts.faces.sides, facts.faces.scores
    return render(
        TEMPLATE,
        title=f"Data set {facts.root.resolve().name}",
        facts=facts,
        rejected=[escape(name) for name in facts.dataset.rejected],
        shown=SHOWN,
        missing_steps=[state.stage.name for state in facts.progress if state.missing],
        crops=_crops_table(facts),
        percentiles=PERCENTILES,
        sides=[float(v) for v in np.percentile(sides, PERCENTILES)] if len(sides) else [],
        scores=[float(v) for v in np.percentile(scores, PERCENTILES)] if len(scores) else [],
        plots=_plots(facts),
        size=describe_bytes,
    )


def _crops_table(facts: Facts) -> list[dict[str, Any]]:
    """A row for each label: crops, videos that have some, the least, mean and most of a video."""
    rows = []
    for label, name in ((0, "real"), (1, "fake")):
        counts = facts.crops_of(label)
        some = [count for count in counts if count]
        rows.append(
            {"label": name, "crops": sum(counts), "videos": len(some), "empty": len(counts) - len(some),
             "least": min(some, default=0), "mean": float(np.mean(some)) if some else 0.0,
             "most": max(some, default=0)}
        )  # fmt: skip
    return rows


def _plots(facts: Facts) -> dict[str, str]:
    """Name -> picture; those without data are left out."""
    plots: dict[str, str] = {}
    if facts.folds.counts:
        plots["folds"] = _plot(lambda axes: _draw_folds(axes, facts))
    if facts.crops_of(0) or facts.crops_of(1):
        plots["crops"] = _plot(lambda axes: _draw_crops(axes, facts))
    if len(facts.faces.sides):
        plots["sides"] = _plot(lambda axes: _draw_sides(axes, facts))
    if facts.faces.per_frame:
        plots["per_frame"] = _plot(lambda axes: _draw_per_frame(axes, facts))
    plots["disk"] = _plot(lambda axes: _draw_disk(axes, facts))
    return plots


def _plot(draw: Callable[[Axes], None]) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)
    axes.set_axisbelow(True)
    draw(axes)
    return plot(figure)


def _whole_numbers(axes: Axes, which: str) -> None:
    from matplotlib.ticker import MaxNLocator

    getattr(axes, f"{which}axis").set_major_locator(MaxNLocator(integer=True))


def _add_legend(axes: Axes) -> None:
    # Above the plot, where no bar can reach.
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderpad=0)


def _draw_folds(axes: Axes, facts: Facts) -> None:
    counts = facts.folds.counts
    folds, reals = [c.fold for c in counts], [c.real_crops for c in counts]
    axes.bar(folds, reals, color=colors.REAL, label="real")
    axes.bar(folds, [c.fake_crops for c in counts], bottom=reals, color=colors.FAKE, label="fake")
    axes.set(xlabel="fold", ylabel="crops")
    if len(folds) < MOST_BARS:
        axes.set_xticks(folds)
    if len(folds) == 1:
        axes.set_xlim(folds[0] - 2, folds[0] + 2)
    _add_legend(axes)


def _draw_crops(axes: Axes, facts: Facts) -> None:
    counts = [facts.crops_of(0), facts.crops_of(1)]
    axes.hist(counts, bins=_whole_bins([n for some in counts for n in some]), stacked=True,
              color=[colors.REAL, colors.FAKE], label=["real", "fake"])  # fmt: skip
    axes.set(xlabel="crops of a video", ylabel="videos")
    left, right = axes.get_xlim()
    axes.set_xlim(left - 1, right + 1)  # wide enough for whole numbers as ticks
    _whole_numbers(axes, "x")
    _whole_numbers(axes, "y")
    _add_legend(axes)


def _whole_bins(values: Sequence[int]) -> list[float]:
    """Edges of at most `MOST_BARS` bins of one whole width, whole numbers in their middle."""
    low, high = min(values), max(values)
    width = -(-(high - low + 1) // MOST_BARS)
    return [edge - 0.5 for edge in range(low, high + width + 1, width)]


def _draw_sides(axes: Axes, facts: Facts) -> None:
    sides = facts.faces.sides
    axes.hist(sides, bins=40, color=OTHER_COLOR)
    median = float(np.median(sides))
    axes.axvline(median, color="black", linewidth=1, linestyle="--", label=f"median {median:.0f}")
    what = "face boxes" if facts.faces.from_boxes else "crops"
    axes.set(xlabel=f"longer side in pixels, {what}", ylabel=what)
    _whole_numbers(axes, "y")
    _add_legend(axes)


def _draw_per_frame(axes: Axes, facts: Facts) -> None:
    numbers = sorted(facts.faces.per_frame.items())
    axes.bar([n for n, _ in numbers], [count for _, count in numbers], color=OTHER_COLOR)
    axes.set(xlabel="faces in a frame", ylabel="frames")
    _whole_numbers(axes, "x")
    _whole_numbers(axes, "y")


def _draw_disk(axes: Axes, facts: Facts) -> None:
    uses = sorted(facts.disk, key=lambda use: use.bytes)
    bars = axes.barh([use.name for use in uses], [use.bytes for use in uses], color=OTHER_COLOR)
    axes.bar_label(bars, [describe_bytes(use.bytes) for use in uses], padding=4)
    axes.set_xticks([])
    axes.margins(x=0.18)
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)

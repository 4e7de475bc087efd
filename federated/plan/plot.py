"""The picture of a federated run: each metric by round at each owner, the averaged network among its baselines."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from deepfake.storage import atomic
from federated.owner.metrics import METRICS
from federated.plan.plan import FEDERATED

LOSS = "log_loss"
_TITLES = {LOSS: "log loss (lower is better)", "auc": "AUC", "accuracy": "accuracy at 0.5"}


def draw_rounds(performances: pd.DataFrame, out: Path) -> None:
    """Writes a PNG: a row a metric, a column an owner's test videos, a line a training (`PERFORMANCE_COLUMNS`)."""
    # Takes a second to import; a Figure of its own needs no display.
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    metrics = [metric for metric in METRICS if metric in set(performances["metric"])]
    owners = list(dict.fromkeys(performances["owner"]))
    figure = Figure(figsize=(1 + 4.2 * len(owners), 0.8 + 2.6 * len(metrics)), layout="constrained")
    grid = figure.subplots(len(metrics), len(owners), squeeze=False, sharex=True, sharey="row")
    for metric, row in zip(metrics, grid):
        for owner, axes in zip(owners, row):
            shown = performances[(performances["metric"] == metric) & (performances["owner"] == owner)]
            for training, line in shown.groupby("training", sort=False):
                _draw_line(axes, str(training), line.sort_values("round"))
            axes.grid(alpha=0.3)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.set_ylim(bottom=0) if metric == LOSS else axes.set_ylim(-0.04, 1.04)
        row[0].set_ylabel(_TITLES.get(metric, metric))
    for owner, top, bottom in zip(owners, grid[0], grid[-1]):
        top.set_title(f"test videos of {owner}")
        bottom.set_xlabel("round")
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    with atomic.atomic_file(out) as partial:
        figure.savefig(partial, dpi=110, format="png")


def _draw_line(axes, training: str, line: pd.DataFrame) -> None:
    # Broad and behind the others: where lines meet, all are seen.
    look = {"linewidth": 5, "alpha": 0.45} if training == FEDERATED else {"linestyle": "--", "marker": "."}
    axes.plot(line["round"], line["value"], label=training, **look)

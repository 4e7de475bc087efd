"""An evaluation as lines of text, Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from deepfake.evaluation.comparing import ComparedRun, Comparison
from deepfake.evaluation.evaluating import FRAME_AUC, OVERALL, Cell, EvaluatedVideo, Evaluation
from deepfake.evaluation.robustness import PerturbedFigures, Robustness
from deepfake.scoring.detection_metrics import METRICS, MIN_GROUPS
from deepfake.storage.names import escape, one_line, to_cell

NAMES = {
    "auc": "AUC",
    FRAME_AUC: "frame AUC",
    "eer": "EER",
    "ap": "AP",
    "tpr_at_1_fpr": "TPR@1%",
    "tpr_at_5_fpr": "TPR@5%",
    "accuracy": "acc 0.5",
    "accuracy_calibrated": "acc cal.",
    "log_loss": "log loss",
    "brier": "Brier",
    "ece": "ECE",
}
ORDER = ("auc", FRAME_AUC, *METRICS[1:])
FEW = f"* fewer than {MIN_GROUPS} groups with reals or with fakes: intervals say little"


def shown_metrics(evaluation: Evaluation) -> list[str]:
    """Return the metrics that any cell has, in their order."""
    return [metric for metric in ORDER if any(metric in cell.metrics for cell in evaluation.cells)]


def text_lines(evaluation: Evaluation) -> list[str]:
    """Return the table for a terminal: AUC and EER with intervals, the other values of all videos beneath."""
    rows = [["", "", "reals", "fakes", "groups", "AUC", "EER", "AP", "acc 0.5"]]
    for cell in evaluation.cells:
        values = [bracketed(cell, "auc"), bracketed(cell, "eer"), number(cell, "ap"), number(cell, "accuracy")]
        by = "" if cell.by == OVERALL else cell.by
        name = one_line(cell.name) + ("*" if cell.too_few else "")
        rows.append([by, name, str(cell.reals), str(cell.fakes), str(cell.groups), *values])
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths)))
             for row in rows]  # fmt: skip
    overall = evaluation.cells[0]
    lines += ["", *(f"{NAMES[m]:10} {bracketed(overall, m)}" for m in ORDER if m in overall.metrics)]
    if any(cell.too_few for cell in evaluation.cells):
        lines += ["", FEW]
    return [line.rstrip() for line in lines]


def summary_lines(evaluation: Evaluation) -> list[str]:
    """Return the protocol, warnings and notes, a line each."""
    return [
        *(f"warning: {line}" for line in evaluation.warnings),
        *evaluation.notes,
        f"protocol: {evaluation.protocol_line}",
    ]


def markdown(evaluation: Evaluation, robustness: Robustness | None = None, curves: str = "") -> str:
    """Return the tables as Markdown.

    Args:
        robustness: what perturbations cost, if it was measured.
        curves: the picture's file, seen from the page.
    """
    metrics = shown_metrics(evaluation)
    parts = [f"# {_md(evaluation.name)}\n"]
    parts += [f"{_md(line)}\n" for line in summary_lines(evaluation)]
    parts.append(f"| by | videos | reals | fakes | groups | {' | '.join(NAMES[m] for m in metrics)} |")
    parts.append(f"|{'---|' * (5 + len(metrics))}")
    for cell in evaluation.cells:
        values = [bracketed(cell, metric) for metric in metrics]
        name = _md(cell.name) + ("\\*" if cell.too_few else "")
        parts.append(f"| {' | '.join([cell.by, name, str(cell.reals), str(cell.fakes), str(cell.groups), *values])} |")
    parts += ["", "\\" + FEW]
    if robustness is not None:
        parts += ["", "## Under perturbations", "", *robustness_markdown(robustness, curves)]
    return "\n".join([*parts, ""])


def cells_csv(evaluation: Evaluation) -> str:
    """Return a row for each cell: counts, and each metric with its interval."""
    metrics = shown_metrics(evaluation)
    header = ["by", "name", "reals", "fakes", "groups", "frames", "too_few"]
    header += [f"{metric}{end}" for metric in metrics for end in ("", "_low", "_high")]
    rows = []
    for cell in evaluation.cells:
        figures = [f"{v:.6f}" if v is not None else "" for m in metrics for v in cell.metrics.get(m, (None,) * 3)]
        counts = [cell.reals, cell.fakes, cell.groups, cell.frames]
        rows.append([cell.by, to_cell(cell.name), *counts, cell.too_few, *figures])
    return _csv(header, rows)


def videos_csv(evaluation: Evaluation) -> str:
    """Return a row for each video, the most wrong first."""
    rows = [
        [to_cell(v.video_id), to_cell(v.name), v.label, to_cell(v.group), f"{v.score:.6f}", to_cell(v.reason)]
        for v in most_wrong(evaluation, len(evaluation.videos))
    ]
    return _csv(["video_id", "filename", "label", "group", "score", "reason"], rows)


def most_wrong(evaluation: Evaluation, count: int) -> list[EvaluatedVideo]:
    """Return the videos whose scores are furthest from their labels."""
    return sorted(evaluation.videos, key=lambda v: (-abs(v.score - v.label), v.video_id))[:count]


def number(cell: Cell, metric: str) -> str:
    """Return a value, or a dash where the cell has none."""
    return f"{cell.metrics[metric][0]:.4f}" if metric in cell.metrics else "-"


def bracketed(cell: Cell, metric: str) -> str:
    """Return a value with its interval."""
    if metric not in cell.metrics:
        return "-"
    return with_interval(cell.metrics[metric])


def with_interval(of: tuple[float, float, float]) -> str:
    """Return a value with its interval."""
    value, low, high = of
    return f"{value:.4f} [{low:.3f}, {high:.3f}]"


def _md(text: str) -> str:
    return escape(text).replace("|", "\\|").replace("<", "&lt;")


def _csv(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def compared_lines(found: Comparison) -> list[str]:
    """Return runs side by side, with their differences to the first."""
    lines = [_compared_how(found, one_line(found.runs[0].name))]
    for run in found.runs:
        lines += ["", one_line(run.name)]
        for metric in (metric for metric in METRICS if metric in run.values):
            lines.append(f"  {NAMES[metric]:10} {run.values[metric]:.4f}  {difference(run, metric)}".rstrip())
    return lines


def compared_markdown(found: Comparison) -> str:
    """Return the same as Markdown, with each run's protocol."""
    lines = [_compared_how(found, _md(found.runs[0].name)), ""]
    lines += [f"| run | {' | '.join(NAMES[m] for m in found.metrics)} |", f"|{'---|' * (1 + len(found.metrics))}"]
    for run in found.runs:
        cells = [f"{run.values[m]:.4f} {difference(run, m)}".strip() if m in run.values else "-" for m in found.metrics]
        lines.append(f"| {_md(run.name)} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *(f"- {_md(run.name)}: {_md(run.protocol_line)}" for run in found.runs), ""])


def _compared_how(found: Comparison, baseline: str) -> str:
    few = f" (too few for a claim: {found.too_few})" if found.too_few else ""
    return (
        f"{found.videos} videos in {found.groups} groups that all runs have{few}; differences to {baseline}, "
        "paired 95 % intervals"
    )


def difference(run: ComparedRun, metric: str) -> str:
    """Return a metric's difference to the first run's with its interval; empty where there is none."""
    if metric not in run.differences:
        return ""
    of = run.differences[metric]
    return f"({_signed(of.value, of.low, of.high)})"


def robustness_lines(found: Robustness) -> list[str]:
    """Return AUC and loss by perturbation and level, for a terminal."""
    lines = [f"{'':16}{'AUC':>25}{'loss against clean':>28}", f"{'clean':16}{with_interval(found.clean):>25}"]
    for row in found.rows:
        name = f"{row.perturbation}:{row.level}"
        lines.append(f"{name:16}{with_interval(row.auc):>25}{loss(row):>28}")
    return lines


def robustness_markdown(found: Robustness, curves: str) -> list[str]:
    """Return the same as a table of Markdown, under the picture whose file is named."""
    lines = [f"![AUC by perturbation and level]({curves})", ""] if curves else []
    lines += ["| perturbation | level | AUC | loss against clean | videos |", "|---|---|---|---|---|"]
    lines.append(f"| clean | | {with_interval(found.clean)} | | |")
    return lines + [
        f"| {row.perturbation} | {row.level} | {with_interval(row.auc)} | {loss(row)} | {row.videos} |"
        for row in found.rows
    ]


def robustness_csv(found: Robustness) -> str:
    """Return a row for each perturbation and level."""
    header = ["perturbation", "level", *(f"{m}{end}" for m in ("auc", "loss") for end in ("", "_low", "_high"))]
    rows = [
        [row.perturbation, row.level, *(f"{v:.6f}" for v in (*row.auc, *row.loss)), row.videos] for row in found.rows
    ]
    return _csv([*header, "videos"], rows)


def loss(row: PerturbedFigures) -> str:
    """Return a perturbation's loss with its paired interval, both with their signs."""
    return _signed(*row.loss)


def _signed(value: float, low: float, high: float) -> str:
    value, low, high = (round(of, digits) + 0.0 for of, digits in ((value, 4), (low, 3), (high, 3)))  # no -0.0000
    return f"{value:+.4f} [{low:+.3f}, {high:+.3f}]"

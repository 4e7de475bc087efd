"""Writes docs/results.md from recorded evaluations (docs/results/own) and published figures, clearly apart."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from deepfake.evaluation.evaluating import read_evaluation
from deepfake.evaluation.reporting import NAMES, ORDER, bracketed, robustness_markdown
from deepfake.evaluation.robustness import read_robustness
from deepfake.storage import atomic
from deepfake.storage.json_files import read_mapping
from deepfake.storage.schema import from_plain, require
from visualize.evaluation_plots import draw_robustness
from visualize.page import svg

EPILOG = """A run is recorded by copying its evaluation.json to docs/results/own/NAME.json, and its robustness.json,
where --perturb made one, to docs/results/own/NAME.robustness.json; its curves are drawn beside it.

example:
  python bench/results.py
  python bench/results.py --check
"""
DOCS = Path(__file__).resolve().parents[1] / "docs"
OWN, PUBLISHED, PAGE = "results/own", "results/published.json", "results.md"
PUBLISHED_FORMAT = 1
ROBUSTNESS, CURVES = ".robustness.json", ".robustness.svg"


@dataclass(frozen=True)
class Row:
    """Published figures of one method, AUC in %, by data set."""

    method: str
    protocol: str
    source: str
    figures: dict[str, str]


@dataclass(frozen=True)
class Published:
    """The figures of others."""

    sets: list[str]
    rows: list[Row]
    notes: list[str]

    def __post_init__(self) -> None:
        unknown = {name for row in self.rows for name in row.figures} - set(self.sets)
        require(not unknown, "rows", f"figures of the sets alone; found {', '.join(sorted(unknown))}")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if the page is not up to date")
    args = parser.parse_args()
    page, text = DOCS / PAGE, results_page(DOCS)
    if args.check:
        return int(not page.is_file() or page.read_text(encoding="utf-8") != text)
    for path in sorted((DOCS / OWN).glob(f"*{ROBUSTNESS}")):
        picture = svg(draw_robustness(read_robustness(path)))
        atomic.write_bytes(path.with_name(path.name.removesuffix(ROBUSTNESS) + CURVES), picture)
    atomic.write_text(page, text)
    print(page)
    return 0


def results_page(docs: Path) -> str:
    """Return the page of the files below a folder of documents."""
    files = [path for path in sorted((docs / OWN).glob("*.json")) if not path.name.endswith(ROBUSTNESS)]
    content = read_mapping(docs / PUBLISHED, "published figures")
    published = from_plain(Published, content, str(docs / PUBLISHED), file_format=PUBLISHED_FORMAT)
    parts = ["# Results", "Made by `python bench/results.py` from the files in `docs/results/`.", "## Measured here"]
    parts += [_own(path) for path in files]
    parts += ["## Published by others", "AUC in %, not measured here. What a row was trained and tested on differs."]
    parts += [_table(published), *(f"- {note}" for note in published.notes)]
    return "\n\n".join(parts) + "\n"


def _own(path: Path) -> str:
    run, robustness = read_evaluation(path), path.with_name(path.stem + ROBUSTNESS)
    overall = run.cells[0]
    rows = [f"| {NAMES[metric]} | {bracketed(overall, metric)} |" for metric in ORDER if metric in overall.metrics]
    few = [f"Too few for a claim: {overall.too_few}."] if overall.too_few else []
    counts = f"{overall.reals} real, {overall.fakes} fake videos, {overall.groups} groups."
    protocol = "; ".join(f"{key}: {value}" for key, value in run.protocol.items() if key != "command")
    lines = [f"### {path.stem}", "", " ".join([counts, *few, *run.notes]), "", "| metric | value, 95 % interval |"]
    lines += ["|---|---|", *rows, ""]
    if robustness.is_file():
        lines += [*robustness_markdown(read_robustness(robustness), f"{OWN}/{path.stem}{CURVES}"), ""]
    lines += [f"Protocol: {protocol}.", "", "```bash", run.protocol["command"], "```"]
    return "\n".join(lines)


def _table(published: Published) -> str:
    lines = [f"| method | {' | '.join(published.sets)} | protocol | source |", f"|{'---|' * (len(published.sets) + 3)}"]
    for row in published.rows:
        figures = [row.figures.get(name, "") for name in published.sets]
        lines.append(f"| {row.method} | {' | '.join(figures)} | {row.protocol} | {row.source} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

"""Writes docs/results.md from recorded evaluations (docs/results/own) and published figures, clearly apart."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from deepfake.evaluation.evaluating import Evaluation, read_evaluation
from deepfake.evaluation.reporting import NAMES, ORDER, bracketed
from deepfake.storage import atomic
from deepfake.storage.json_files import read_mapping
from deepfake.storage.schema import from_plain, require

EPILOG = """A run is recorded by copying its evaluation.json to docs/results/own/NAME.json.

example:
  python bench/results.py
  python bench/results.py --check
"""
DOCS = Path(__file__).resolve().parents[1] / "docs"
OWN, PUBLISHED, PAGE = "results/own", "results/published.json", "results.md"
PUBLISHED_FORMAT = 1


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
    atomic.write_text(page, text)
    print(page)
    return 0


def results_page(docs: Path) -> str:
    """Return the page of the files below a folder of documents."""
    runs = {path.stem: read_evaluation(path) for path in sorted((docs / OWN).glob("*.json"))}
    content = read_mapping(docs / PUBLISHED, "published figures")
    published = from_plain(Published, content, str(docs / PUBLISHED), file_format=PUBLISHED_FORMAT)
    parts = ["# Results", "Made by `python bench/results.py` from the files in `docs/results/`.", "## Measured here"]
    parts += [_own(name, run) for name, run in runs.items()]
    parts += ["## Published by others", "AUC in %, not measured here. What a row was trained and tested on differs."]
    parts += [_table(published), *(f"- {note}" for note in published.notes)]
    return "\n\n".join(parts) + "\n"


def _own(name: str, run: Evaluation) -> str:
    overall = run.cells[0]
    rows = [f"| {NAMES[metric]} | {bracketed(overall, metric)} |" for metric in ORDER if metric in overall.metrics]
    few = [f"Too few for a claim: {overall.too_few}."] if overall.too_few else []
    counts = f"{overall.reals} real, {overall.fakes} fake videos, {overall.groups} groups."
    protocol = "; ".join(f"{key}: {value}" for key, value in run.protocol.items() if key != "command")
    lines = [f"### {name}", "", " ".join([counts, *few, *run.notes]), "", "| metric | value, 95 % interval |"]
    lines += ["|---|---|", *rows, "", f"Protocol: {protocol}.", "", "```bash", run.protocol["command"], "```"]
    return "\n".join(lines)


def _table(published: Published) -> str:
    lines = [f"| method | {' | '.join(published.sets)} | protocol | source |", f"|{'---|' * (len(published.sets) + 3)}"]
    for row in published.rows:
        figures = [row.figures.get(name, "") for name in published.sets]
        lines.append(f"| {row.method} | {' | '.join(figures)} | {row.protocol} | {row.source} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

"""Not a step: what is in a data set of any layout, and what is wrong with it."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import argparse
from pathlib import Path

from deepfake.cli.commandline import EXIT_INTERRUPTED, EXIT_USAGE
from deepfake.cli.dataset_options import add_dataset, read_chosen
from deepfake.datasets.description import COLUMNS, KINDS, Description, describe
from deepfake.datasets.progress import describe_bytes
from deepfake.storage import atomic
from deepfake.storage.names import one_line
from deepfake.storage.tables import write_table
from preprocessing.pipeline.arguments import run_main
from preprocessing.pipeline.text_table import format_table

_MANY = 10
"""Findings of a kind that are printed; the table has all."""
_NONE = "-"


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Shows what a data set has by label, method, compression and official split, what its own lists "
        "name and is not there, unusable names, fakes without their original, and leaks: an original and its fake or "
        "a group in two splits, the same file twice. Only files of equal size are read; sizes are those of files, "
        "folders of pictures are not measured.",
        epilog=f"""exit codes:
  0    the data set is described, whatever was found
  {EXIT_USAGE}    the command or the data set cannot be used
  {EXIT_INTERRUPTED}  interrupted

example:
  python preprocessing/{Path(__file__).name} FaceForensics++ --csv ffpp.csv --page ffpp.html
""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("root", type=Path, metavar="ROOT", help="the data set's folder, or the file that lists its videos")
    add_dataset(add)
    add("--csv", type=Path, metavar="FILE", help="write it as a table: a row for each part, then for each finding")
    add("--page", type=Path, metavar="FILE", help="write it as a page of HTML")
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    description = describe(args.root, read_chosen(args.root, args))
    print_description(args.root, description)
    if args.csv is not None:
        write_table(args.csv, COLUMNS, list(description.rows()))
        print(args.csv)
    if args.page is not None:
        # A page needs jinja2 and matplotlib, the description does not.
        from visualize.dataset.description_page import render_description

        atomic.write_text(args.page, render_description(args.root, description))
        print(args.page)
    return 0


def print_description(root: Path, description: Description) -> None:
    """Print what there is, then each kind of finding with the first of its kind."""
    dataset = description.dataset
    print(one_line(f"{root}: layout {dataset.layout}" + (f" ({dataset.because})" if dataset.because else "")))
    print(
        f"{description.count('real')} real and {description.count('fake')} fake videos in {description.groups} groups, "
        f"{describe_bytes(description.bytes)}"
    )
    header = ("label", "method", "compression", "split", "videos", "groups", "size")
    rows = [
        (part.label, one_line(part.method or _NONE), part.compression or _NONE, part.split or _NONE,
         str(part.videos), str(part.groups), describe_bytes(part.bytes))
        for part in description.parts
    ]  # fmt: skip
    print(format_table([header, *rows], left=4))
    for note in dataset.notes:
        print(one_line(f"note: {note}"))
    for kind, findings in description.by_kind.items():
        print(f"{KINDS[kind]}: {len(findings)}")
        for finding in findings[:_MANY]:
            print("  " + one_line(f"{finding.name}: {finding.detail}"))
        if len(findings) > _MANY:
            print(f"  and {len(findings) - _MANY} more")
    if not description.findings:
        print("nothing is missing, no leak between splits, no file twice")


if __name__ == "__main__":
    run_main(main)

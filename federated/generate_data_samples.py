"""Splits a preprocessed data set over owners, as data samples that Substra takes."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from deepfake.cli.commandline import index_int, positive_float, positive_int, run_guarded
from deepfake.datasets.data_root import DataRoot
from deepfake.datasets.folds import SEED, read_folds
from deepfake.faces.boxes import first_settings
from deepfake.storage import atomic
from federated.options import SAMPLES
from federated.plan.plan import DESCRIPTION_MD
from federated.samples.descriptions import describe
from federated.samples.samples import INSIDE, Description, check_sample, write_sample
from federated.samples.splitting import split_by_owner


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Splits a preprocessed data set over owners: no original, nor a fake of it, is with two of them. "
        "Writes OUT/owner1/train, OUT/owner1/test, OUT/owner1/description.md and so on.",
        epilog="example:\n  python federated/generate_data_samples.py --root-dir DATA_ROOT --owners 2 --out samples",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--root-dir",
        type=Path,
        required=True,
        metavar="DATA_ROOT",
        help="where preprocess_data.sh wrote: the data set, or OUT",
    )
    add("--owners", type=positive_int, default=2, metavar="N", help="how many (default: %(default)s)")
    add("--out", type=Path, default=SAMPLES, metavar="OUT", help="(default: %(default)s)")
    add("--fold", type=index_int, default=0, help="the fold that owners test with (default: %(default)s)")
    add("--shares", type=positive_float, nargs="+", metavar="X", help="of the crops, one an owner (default: the same)")
    add("--seed", type=int, default=SEED, help="of which originals go where (default: %(default)s)")
    add("--folds-csv", type=Path, metavar="CSV", help="fold table (default: DATA_ROOT/folds.csv)")
    add("--crops-dir", default="crops", metavar="NAME", help="crops' folder below DATA_ROOT (default: %(default)s)")
    add(
        "--copy", action="store_true",
        help="put the crops' files into the samples, for networks whose machines do not see DATA_ROOT",
    )  # fmt: skip
    return parser.parse_args(arguments)


def main() -> int:
    args = parse_args()
    root = args.root_dir.resolve()
    layout = DataRoot(root, args.crops_dir)
    table = read_folds(args.folds_csv or layout.folds_csv)
    detection = first_settings(layout.boxes, table["original"])
    parts = split_by_owner(table, args.owners, args.fold, args.shares, args.seed)
    samples = []
    for number, by_kind in enumerate(parts, start=1):
        owner = f"owner{number}"
        for kind, rows in by_kind.items():
            described = Description.of(rows, owner, kind, str(root), args.crops_dir, detection)
            samples.append((args.out / owner / kind, rows, described))
    for folder, rows, described in samples:
        check_sample(folder, described, rows)
    for folder, rows, described in samples:
        write_sample(folder, rows, described, args.copy)
    write_descriptions(args.out, [replace(s, root=INSIDE) if args.copy else s for _, _, s in samples])
    print(format_counts([s for _, _, s in samples]))
    print(f"data samples: {args.out}")
    return 0


def write_descriptions(out: Path, samples: Sequence[Description]) -> None:
    for owner in dict.fromkeys(sample.owner for sample in samples):
        atomic.write_text(out / owner / DESCRIPTION_MD, describe([s for s in samples if s.owner == owner]))


def format_counts(samples: Sequence[Description]) -> str:
    lines = [f"{'owner':<10} {'sample':<7} {'originals':>9} {'videos':>7} {'crops':>7} {'real':>7} {'fake':>7}"]
    for s in samples:
        lines.append(
            f"{s.owner:<10} {s.kind:<7} {s.originals:>9} {s.videos:>7} {s.crops:>7} {s.real_crops:>7} {s.fake_crops:>7}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(run_guarded(main, sys.stderr.write))

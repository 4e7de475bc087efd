"""After step 5: crops, masks and landmarks as tar shards per fold, with an index, for training from anywhere."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import argparse
import hashlib
import json
from functools import partial
from pathlib import Path

import pandas as pd

from deepfake.cli.commandline import positive_int
from deepfake.datasets.data_root import DataRoot
from deepfake.datasets.folds import CropFiles, FoldRow, read_folds
from deepfake.datasets.shards import (
    FORMAT,
    INDEX_CSV,
    SAMPLES,
    SEED,
    SHARDS_JSON,
    SUFFIX,
    Shard,
    ShardIndex,
    ShardRow,
    checksum,
    format_shards,
    format_table,
    plan,
    scan_shard,
    write_shard,
)
from deepfake.faces.boxes import first_settings
from deepfake.parallel.workers import Failure, run_over
from deepfake.storage import atomic
from deepfake.storage.locks import writing_folder
from preprocessing.pipeline.arguments import add_crops_dir, make_parser, run_main
from preprocessing.pipeline.work import finish

STEP = Path(__file__).stem
PACKING_JSON = "packing.json"


def parse_args() -> argparse.Namespace:
    parser = make_parser(
        "Packs crops, masks and landmarks into tar shards per fold (WebDataset's layout) with an index of every file. "
        "A killed run continues, to the same bytes.",
        f"python preprocessing/{STEP}.py --root-dir DATA_ROOT --out SHARDS",
    )
    add_crops_dir(parser)
    parser.add_argument("--folds-csv", type=Path, metavar="CSV", help="fold table (default: DATA_ROOT/folds.csv)")
    parser.add_argument("--out", type=Path, required=True, metavar="SHARDS", help="folder for the shards")
    parser.add_argument(
        "--shard-samples", type=positive_int, default=SAMPLES, metavar="N",
        help="crops a shard at most; a rank needs at least one shard of its own (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=SEED, help="of what goes where (default: %(default)s)")
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    layout = DataRoot(args.root_dir, args.crops_dir)
    source = args.folds_csv or layout.folds_csv
    table = read_folds(source)
    shards = plan(table, args.shard_samples, args.seed)
    if not shards:
        raise ValueError(f"{source}: no crops to pack; run generate_folds.py again")
    for rows in shards.values():
        for row in rows:
            CropFiles.of(layout, row)  # names that leave the data root stop here, before anything is written
    settings = {"format": FORMAT, "samples": args.shard_samples, "seed": args.seed, "crops": args.crops_dir}
    args.out.mkdir(parents=True, exist_ok=True)
    with writing_folder(args.out):
        begin(args.out, {**settings, "table": _digest(table)}, args.overwrite)
        summary = run_over(
            list(shards),
            partial(pack, shards=shards, layout=layout, out=args.out),
            is_done=lambda name: (args.out / name).is_file(),
            workers=args.workers,
            overwrite=args.overwrite,
            description=STEP,
        )
        missing = [] if summary.failures else write_index(args.out, shards, table, layout)
        return finish(STEP, summary, layout.root, missing)


def begin(out: Path, settings: dict, overwrite: bool) -> None:
    """Notes what is being packed.

    Raises:
        ValueError: the folder holds, or began with, shards of another fold table or of other options.
    """
    note = out / PACKING_JSON
    recorded = json.dumps(settings, indent=1, sort_keys=True) + "\n"
    if note.is_file():
        if not overwrite and note.read_text(encoding="utf-8") != recorded:
            raise ValueError(f"{out}: holds shards of another fold table or options; --overwrite, or another --out")
        for path in [out / SHARDS_JSON, out / INDEX_CSV, *out.glob(f"*{SUFFIX}")] if overwrite else []:
            path.unlink(missing_ok=True)
    elif next(out.glob(f"*{SUFFIX}"), None) is not None:
        raise ValueError(f"{out}: holds {SUFFIX} files that are not of this program; choose another --out")
    atomic.write_text(note, recorded)


def pack(name: str, shards: dict[str, list[FoldRow]], layout: DataRoot, out: Path) -> None:
    """Writes one shard.

    Raises:
        ValueError: none of its crops is there.
    """
    with atomic.atomic_file(out / name) as partial_path:
        with partial_path.open("wb") as file:
            written = write_shard(file, ((row, CropFiles.of(layout, row)) for row in shards[name]))
        if not written:
            raise ValueError(f"none of its {len(shards[name])} crops is in {layout.crops}; run extract_crops.py")


def write_index(out: Path, shards: dict[str, list[FoldRow]], table: pd.DataFrame, layout: DataRoot) -> list[Failure]:
    """Writes the index of what the shards hold, in the fold table's order; the videos whose crops are missing."""
    found: dict[tuple[str, str], ShardRow] = {}
    listed = []
    for name, planned in shards.items():
        rows = scan_shard(out / name)
        found.update({(row.video, row.file): row for row in rows})
        listed.append(Shard(name, planned[0].fold, (out / name).stat().st_size, len(rows)))
    keys = list(zip(table["video"], table["file"]))
    content = format_table(pd.DataFrame([found[key] for key in keys if key in found]))
    # The index's checksum is in the list of shards: written last, it stands for the whole.
    atomic.write_bytes(out / INDEX_CSV, content)
    index = ShardIndex(tuple(listed), table, checksum(content), first_settings(layout.boxes, table["original"]))
    atomic.write_text(out / SHARDS_JSON, format_shards(index))
    lost = pd.Series([video for video, file in keys if (video, file) not in found], dtype=str).value_counts()
    cure = "crops of the fold table are missing; run extract_crops.py, then this step with --overwrite"
    return [Failure(str(video), f"{count} {cure}") for video, count in lost.items()]


def _digest(table: pd.DataFrame) -> str:
    return hashlib.sha256(table.to_csv(index=False).encode("utf-8")).hexdigest()


if __name__ == "__main__":
    run_main(main)

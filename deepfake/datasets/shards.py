"""Crops packed for training: tar files in the layout of WebDataset, and an index of every file inside of them.

    shards.json             the shards with fold, size and number of samples; the index's checksum; written last
    index.csv               the fold table, and where in which shard each crop, mask and landmark file lies
    fold00_00000.tar ...    samples: ID/{frame}_{face}.png, .mask.png, .landmarks.npy, .json (its row of the table)

Files are the data root's own, byte for byte. A shard holds one fold's crops, and each shard of a fold the same share of
its reals and of its fakes, drawn at random. Readers use the index's byte ranges only, never a name from inside a tar.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO, cast, get_type_hints

import numpy as np
import pandas as pd
from annotated_types import Ge

from deepfake.datasets import folds
from deepfake.datasets.data_root import parse_crop_name
from deepfake.datasets.folds import CropFiles, FoldRow
from deepfake.storage.json_files import parse_json
from deepfake.storage.names import is_plain_name
from deepfake.storage.schema import from_plain, require, to_plain
from deepfake.storage.tables import parse_table, to_csv

SHARDS_JSON = "shards.json"
INDEX_CSV = "index.csv"
SUFFIX = ".tar"
FORMAT = 1
SAMPLES = 2000
"""Samples a shard at most: 200 to 400 MB of PNG crops."""
SEED = folds.SEED

MASK = "mask.png"
LANDMARKS = "landmarks.npy"
ROW = "json"
_BLOCK = tarfile.BLOCKSIZE
_END = b"\0" * 2 * _BLOCK
_LARGEST_READ = 1 << 20
"""Bytes of a header or a row: they are a few hundred."""


class ShardError(ValueError):
    """Shards or their index cannot be used; the message names the file."""


@dataclass(frozen=True)
class ShardRow(FoldRow):
    """One crop in the index: its row of the fold table, its shard, and the first byte and size of its files there.

    A size of 0 is a file that there is not.
    """

    shard: str
    crop_at: int
    crop_size: int
    mask_at: int
    mask_size: int
    points_at: int
    points_size: int


COLUMNS: dict[str, type] = get_type_hints(ShardRow)


@dataclass(frozen=True)
class Shard:
    """A shard's file name, fold, size in bytes and number of samples."""

    name: str
    fold: int
    bytes: Annotated[int, Ge(0)]
    samples: Annotated[int, Ge(0)]

    def __post_init__(self) -> None:
        require(is_plain_name(self.name), "name", f"a plain file name; found {self.name!r:.100}")


@dataclass(frozen=True)
class _Listed:
    """What `shards.json` holds: see `ShardIndex`."""

    index: str
    detection: dict[str, Any] | None
    shards: tuple[Shard, ...]


@dataclass(frozen=True)
class ShardIndex:
    """What `shards.json` and `index.csv` tell.

    Attributes:
        shards: in a stable order.
        table: columns `COLUMNS`, one row a crop, in the order of the fold table.
        checksum: SHA-256 of index.csv, hexadecimal: tells one packing from another.
        detection: the settings that the boxes were found with (`BoxFile`); None if there were none.
    """

    shards: tuple[Shard, ...]
    table: pd.DataFrame
    checksum: str
    detection: dict[str, Any] | None = None

    def chosen(self, names: Iterable[str]) -> ShardIndex:
        """The index of some of the shards."""
        wanted = set(names)
        table = self.table[self.table["shard"].isin(wanted)].reset_index(drop=True)
        shards = tuple(shard for shard in self.shards if shard.name in wanted)
        return ShardIndex(shards, table, self.checksum, self.detection)


def plan(table: pd.DataFrame, samples: int = SAMPLES, seed: int = SEED) -> dict[str, list[FoldRow]]:
    """Which rows of a fold table go into which shard, in order; from the rows and the seed alone.

    A fold is dealt out over as few shards as hold `samples` each; their counts of reals, and of fakes, differ by one.
    """
    shards: dict[str, list[FoldRow]] = {}
    ordered = table.sort_values(["fold", "video", "frame", "file"], kind="stable")
    for fold, rows in ordered.groupby("fold"):
        rng = np.random.default_rng([seed, int(fold)])  # type: ignore[call-overload]
        by_label = [np.flatnonzero(rows["label"].to_numpy() == label) for label in sorted(rows["label"].unique())]
        dealt = np.concatenate([rng.permutation(indices) for indices in by_label])
        count = -(-len(rows) // samples)
        for n in range(count):
            chosen = rows.iloc[rng.permutation(dealt[n::count])]
            columns = chosen[list(folds.COLUMNS)].itertuples(index=False, name=None)
            shards[f"fold{fold:02d}_{n:05d}{SUFFIX}"] = [FoldRow(*values) for values in columns]
    return shards


def write_shard(file: BinaryIO, samples: Iterable[tuple[FoldRow, CropFiles]]) -> int:
    """Writes a shard; the same files give the same bytes. Callers make it atomic.

    Returns:
        How many samples: those whose crop is not there are left out.
    """
    written = 0
    for row, files in samples:
        if not files.crop.is_file():
            continue
        key = f"{row.video}/{Path(row.file).stem}"
        members = {Path(row.file).suffix[1:]: files.crop, MASK: files.diff, LANDMARKS: files.landmarks}
        for extension, path in members.items():
            if path.is_file():
                _write_member(file, f"{key}.{extension}", path.read_bytes())
        _write_member(file, f"{key}.{ROW}", json.dumps(asdict(row), sort_keys=True).encode())
        written += 1
    file.write(_END)
    return written


def _write_member(file: BinaryIO, name: str, data: bytes) -> None:
    # No time, owner or mode of the file's: only what is read again, so that packing anew gives the same bytes.
    header = tarfile.TarInfo(name)
    header.size = len(data)
    file.write(header.tobuf(tarfile.PAX_FORMAT))
    file.write(data)
    file.write(b"\0" * (-len(data) % _BLOCK))


def scan_shard(path: Path) -> list[ShardRow]:
    """The index's rows of one shard, in its order.

    Raises:
        ShardError: not a shard, or cut off.
    """
    try:
        with path.open("rb") as file, tarfile.open(fileobj=cast(Any, _SmallReads(file)), mode="r:") as tar:
            rows = list(_scanned(tar, path.name))
            if path.stat().st_size != tar.offset + len(_END):
                raise ValueError("it does not end where its list of files does")
    except (OSError, tarfile.TarError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise ShardError(f"{path}: not a whole shard: {error}; remove it and pack again") from error
    return rows


class _SmallReads:
    """A file of which only a little is read at once: headers and rows, whatever sizes a damaged shard claims."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _LARGEST_READ:
            raise ValueError(f"a header or a row of {size} bytes; expected at most {_LARGEST_READ}")
        return self._file.read(size)


def _scanned(tar: tarfile.TarFile, shard: str) -> Iterator[ShardRow]:
    spans: dict[str, tuple[int, int]] = {}
    for member in tar:
        if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            raise ValueError(f"{member.name!r:.100} is no regular file")
        key, _, extension = member.name.rpartition("/")[2].partition(".")
        if extension != ROW:
            spans[f"{key}.{extension}"] = (member.offset_data, member.size)
            continue
        if member.size > _LARGEST_READ:
            raise ValueError(f"{member.name!r:.100} has {member.size} bytes; expected at most {_LARGEST_READ}")
        content = tar.extractfile(member)
        assert content is not None
        row = from_plain(FoldRow, parse_json(content.read()))
        found = [spans.pop(name, (0, 0)) for name in (row.file, f"{key}.{MASK}", f"{key}.{LANDMARKS}")]
        if found[0][1] == 0 or spans:
            raise ValueError(f"{member.name} does not belong to the files before it")
        crop, mask, points = found
        yield ShardRow(*astuple(row), shard, *crop, *mask, *points)  # type: ignore[call-arg]  # fields in this order


def format_table(table: pd.DataFrame) -> bytes:
    """index.csv."""
    return to_csv(table[list(COLUMNS)]).encode("utf-8")


def format_shards(index: ShardIndex) -> str:
    """shards.json."""
    listed = _Listed(index.checksum, index.detection, index.shards)
    return json.dumps({"format": FORMAT, **to_plain(listed)}, indent=1) + "\n"


def checksum(table: bytes) -> str:
    """What `shards.json` says about index.csv."""
    return hashlib.sha256(table).hexdigest()


def parse_index(shards: bytes, table: bytes, source: str) -> ShardIndex:
    """Reads the contents of `shards.json` and `index.csv`; `source` names their folder in errors.

    Raises:
        ShardError: malformed, of two packings, or with names and byte ranges that lead out of the shards.
        TableError: index.csv is no table with `COLUMNS`.
    """
    try:
        listed = from_plain(_Listed, parse_json(shards), file_format=FORMAT)
    except ValueError as error:
        raise ShardError(f"{source}/{SHARDS_JSON}: not a list of shards: {error}") from error
    if checksum(table) != listed.index:
        raise ShardError(f"{source}/{INDEX_CSV}: does not fit {SHARDS_JSON}: they are of two packings; pack again")
    index = ShardIndex(
        listed.shards,
        parse_table(io.BytesIO(table), COLUMNS, "index of shards", f"{source}/{INDEX_CSV}"),
        listed.index,
        listed.detection,
    )
    _check(index, f"{source}/{INDEX_CSV}")
    return index


def _check(index: ShardIndex, source: str) -> None:
    """Every row names a crop and lies within its shard, and each shard has as many rows as it should."""
    table = index.table
    counts = table["shard"].value_counts().to_dict()
    expected = {shard.name: shard.samples for shard in index.shards if shard.samples}
    if counts != expected:
        raise ShardError(f"{source}: its shards and samples are not those of {SHARDS_JSON}; pack again")
    ends = table["shard"].map({shard.name: shard.bytes for shard in index.shards}).to_numpy()
    for part in ("crop", "mask", "points"):
        at, size = table[f"{part}_at"].to_numpy(), table[f"{part}_size"].to_numpy()
        # Not at + size, which may exceed 64 bits.
        if ((at < 0) | (at > ends) | (size < (part == "crop")) | (size > ends - at)).any():
            raise ShardError(f"{source}: a {part} lies outside of its shard; pack again")
    named = table["video"].map(is_plain_name) & table["file"].map(lambda name: parse_crop_name(name) is not None)
    if not named.all():
        row = table[~named].iloc[0]
        raise ShardError(f"{source}: {row['video']}/{row['file']} does not name a crop")

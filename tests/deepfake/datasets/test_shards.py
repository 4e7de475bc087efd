"""The shard format: round trips, and what is refused."""

import dataclasses
import json
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepfake.datasets.folds import CropFiles, FoldRow
from deepfake.datasets.shards import (
    Shard,
    ShardError,
    ShardIndex,
    checksum,
    format_shards,
    format_table,
    parse_index,
    plan,
    scan_shard,
    write_shard,
)
from deepfake.storage.tables import TableError

LETTERS = st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters="/\\")
IDS = st.text(LETTERS, min_size=1, max_size=60).filter(lambda name: name[0] != ".")
BYTES = st.binary(min_size=1, max_size=1200)


@st.composite
def samples(draw):
    names = draw(st.lists(st.tuples(IDS, st.integers(0, 999), st.sampled_from([".png", ".jpg", ".webp"])), min_size=1,
                          max_size=5, unique_by=lambda name: name[:2]))  # fmt: skip
    return [
        (FoldRow(video, f"{frame}_0{suffix}", draw(st.integers(0, 1)), video, frame, 3),
         draw(BYTES), draw(st.none() | BYTES), draw(st.none() | BYTES))
        for video, frame, suffix in names
    ]  # fmt: skip


def write(folder: Path, found) -> tuple[Path, list[FoldRow]]:
    rows = []
    for n, (row, *parts) in enumerate(found):
        files = CropFiles(folder / f"{n}.crop", folder / f"{n}.points", folder / f"{n}.mask")
        for path, data in zip((files.crop, files.diff, files.landmarks), parts):
            if data is not None:
                path.write_bytes(data)
        rows.append((row, files))
    path = folder / "fold03_00000.tar"
    with path.open("wb") as file:
        assert write_shard(file, rows) == len(rows)
    return path, [row for row, _ in rows]


@settings(max_examples=40, deadline=None)
@given(samples())
def test_what_is_written_is_found_by_the_index_and_by_tar(found):
    with TemporaryDirectory() as folder:
        path, rows = write(Path(folder), found)
        data = path.read_bytes()
        scanned = scan_shard(path)
        for row, entry, (_, *parts) in zip(rows, scanned, found, strict=True):
            assert FoldRow(*dataclasses.astuple(entry)[:6]) == row and entry.shard == path.name
            spans = (
                (entry.crop_at, entry.crop_size),
                (entry.mask_at, entry.mask_size),
                (entry.points_at, entry.points_size),
            )
            assert [data[at : at + size] or None for at, size in spans] == parts
        with tarfile.open(path) as tar:
            assert all((m.mtime, m.uid, m.gid, m.uname, m.isfile()) == (0, 0, 0, "", True) for m in tar)
        table = format_table(pd.DataFrame(scanned))
        shard = Shard(path.name, 3, len(data), len(rows))
        index = ShardIndex((shard,), pd.DataFrame(scanned), checksum(table), {"scale": None})
        again = parse_index(format_shards(index).encode(), table, "here")
        assert again.shards == (shard,) and again.detection == {"scale": None}
        assert list(again.table.itertuples(index=False, name=None)) == [dataclasses.astuple(row) for row in scanned]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1)), min_size=1, max_size=60), st.integers(1, 20))
def test_a_plan_has_each_row_once_and_even_shares(rows, most):
    table = pd.DataFrame([(f"v{n}", "0_0.png", label, "o", 0, fold) for n, (fold, label) in enumerate(rows)],
                         columns=["video", "file", "label", "original", "frame", "fold"])  # fmt: skip
    planned = plan(table, most)
    assert sorted(row.video for shard in planned.values() for row in shard) == sorted(table["video"])
    assert planned == plan(table.sample(frac=1, random_state=1), most), "whatever the order of the table"
    for fold in set(table["fold"]):
        shards = [shard for name, shard in planned.items() if name.startswith(f"fold{fold:02d}_")]
        assert {row.fold for shard in shards for row in shard} == {fold}
        for label in (0, 1):
            counts = [sum(row.label == label for row in shard) for shard in shards]
            assert max(counts) - min(counts) <= 1
        assert max(map(len, shards)) <= most


@pytest.fixture
def index(tmp_path):
    rows = [(FoldRow("v", f"{n}_0.png", n % 2, "v", n, 3), b"crop", b"mask", None) for n in range(3)]
    path, _ = write(tmp_path, rows)
    table = pd.DataFrame(scan_shard(path))
    return ShardIndex((Shard(path.name, 3, path.stat().st_size, 3),), table, "")


def parse(packed, edit=lambda table: table, **changes):
    table = format_table(edit(packed.table.copy()))
    content = json.loads(format_shards(dataclasses.replace(packed, checksum=checksum(table))))
    content = {**content, **changes}
    return parse_index(json.dumps(content).encode(), table, "place")


def test_an_index_that_does_not_fit_is_refused(index):
    parse(index)
    with pytest.raises(ShardError, match=r"place/index.csv: does not fit shards.json"):
        parse(index, index="0" * 64)
    with pytest.raises(ShardError, match=r"place/shards.json: not a list of shards: format: expected 1; found 2"):
        parse(index, format=2)
    with pytest.raises(ShardError, match="its shards and samples are not those"):
        parse(index, lambda table: table.iloc[:2])
    with pytest.raises(ShardError, match="a crop lies outside of its shard"):
        parse(index, lambda table: table.assign(crop_size=10**6))
    with pytest.raises(ShardError, match="a mask lies outside of its shard"):
        parse(index, lambda table: table.assign(mask_at=-1))
    for odd in ({"crop_at": 2**63 - 1}, {"crop_size": 2**63 - 1}, {"crop_at": 2**62, "crop_size": 2**62}):
        with pytest.raises(ShardError, match="a crop lies outside of its shard"):
            parse(index, lambda table, odd=odd: table.assign(**odd))
    for odd in (2**63, 10**400):
        with pytest.raises(TableError, match="must be whole numbers"):
            parse(index, lambda table, odd=odd: table.assign(crop_at=str(odd)))
    with pytest.raises(ShardError, match=r"shards\[0\]\.bytes: expected a whole number of 0 or more; found -1"):
        parse(index, shards=[{"name": "fold.tar", "fold": 3, "bytes": -1, "samples": 3}])
    with pytest.raises(ShardError, match="bytes: expected a whole number of at most 64 bits"):
        parse(index, shards=[{"name": "fold.tar", "fold": 3, "bytes": 2**63, "samples": 3}])
    with pytest.raises(ShardError, match="does not name a crop"):
        parse(index, lambda table: table.assign(video=["v", "../v", "v"]))
    for name in ("../fold.tar", "/etc/passwd", ".hidden.tar"):
        with pytest.raises(ShardError, match=r"shards.0.\.name: expected a plain file name"):
            parse(index, shards=[{"name": name, "fold": 3, "bytes": 1, "samples": 3}])
    for broken in (b"", b"[]", b"{}", b'{"format": 1, "shards": [3], "index": "", "detection": null}'):
        with pytest.raises(ShardError, match=r"place/shards.json: not a list of shards"):
            parse_index(broken, b"", "place")


@pytest.mark.parametrize("cut", [1, 700, 1500, 2600])
def test_a_cut_shard_is_reported(tmp_path, cut):
    path, _ = write(tmp_path, [(FoldRow("v", "0_0.png", 0, "v", 0, 3), b"crop", b"mask", b"points")] * 2)
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(ShardError, match="not a whole shard"):
        scan_shard(path)


def test_numbers_of_numpy_do_not_get_into_the_plan():
    table = pd.DataFrame([("v", "0_0.png", np.int64(1), "o", np.int64(0), np.int64(2))],
                         columns=["video", "file", "label", "original", "frame", "fold"])  # fmt: skip
    (rows,) = plan(table).values()
    json.dumps(dataclasses.asdict(rows[0]))


@pytest.mark.parametrize("kind", ["row", "extended header", "sparse"])
def test_a_shard_that_claims_gigabytes_takes_no_memory(tmp_path, kind):
    path = tmp_path / "fold00_00000.tar"
    header = tarfile.TarInfo("v/0_0.json")
    header.size = 30 << 30
    header.type = {"row": tarfile.REGTYPE, "extended header": tarfile.XHDTYPE, "sparse": tarfile.GNUTYPE_SPARSE}[kind]
    with path.open("wb") as file:
        file.write(header.tobuf(tarfile.GNU_FORMAT))
        file.truncate(31 << 30)  # a hole, of no size on the disk
    with pytest.raises(ShardError, match="not a whole shard"):
        scan_shard(path)


def test_a_shard_with_a_link_is_refused(tmp_path):
    path = tmp_path / "fold00_00000.tar"
    with tarfile.open(path, "w") as tar:
        link = tarfile.TarInfo("v/0_0.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(ShardError, match="is no regular file"):
        scan_shard(path)

"""Shards by folder, pattern and URL; bounded copies that several readers share."""

import fcntl
import os
import threading

import pandas as pd
import pytest

from deepfake.datasets.shard_reader import ShardCache, ShardReader, is_packed, open_index, split_location
from deepfake.datasets.shards import (
    INDEX_CSV,
    SHARDS_JSON,
    Shard,
    ShardError,
    ShardIndex,
    ShardRow,
    checksum,
    format_shards,
    format_table,
)
from deepfake.storage.remote import Folder, RemoteError
from tests.data.sharding import serve

SIZE = 1000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Ten shards of a thousand bytes: reading knows no more of them than the index tells."""
    out = tmp_path_factory.mktemp("shards")
    shards = tuple(Shard(f"fold{n // 5:02d}_{n % 5:05d}.tar", n // 5, SIZE, 1) for n in range(10))
    rows = [ShardRow("v", f"{n}_0.png", 0, "v", n, s.fold, s.name, 10, 90, 0, 0, 0, 0) for n, s in enumerate(shards)]
    for n, shard in enumerate(shards):
        (out / shard.name).write_bytes(bytes([n]) * SIZE)
    table = format_table(pd.DataFrame(rows))
    (out / INDEX_CSV).write_bytes(table)
    (out / SHARDS_JSON).write_text(format_shards(ShardIndex(shards, pd.DataFrame(rows), checksum(table))))
    return out


@pytest.fixture
def web(folder):
    with serve(folder) as (url, requests):
        yield url, requests


def test_folder_pattern_and_url(folder, web):
    url, _ = web
    for place in (folder, str(folder) + "/", url, url + "/"):
        assert len(open_index(place)[1].shards) == 10
    for place in (folder, url):
        for pattern, names in (
            ("fold01_*.tar", [f"fold01_{n:05d}.tar" for n in range(5)]),
            ("fold0[01]_00003.tar", ["fold00_00003.tar", "fold01_00003.tar"]),
            ("fold{00..01}_{00001..00002}.tar", [f"fold0{f}_0000{n}.tar" for f in (0, 1) for n in (1, 2)]),
        ):
            index = open_index(f"{place}/{pattern}")[1]
            assert [shard.name for shard in index.shards] == names == index.table["shard"].tolist()
    assert is_packed(folder) and is_packed(url) and is_packed("s/*.tar") and not is_packed(folder.parent)
    assert str(split_location("fold*.tar")[0]) == "."


def test_places_without_shards_are_reported(folder, web, tmp_path):
    url, _ = web
    with pytest.raises(RemoteError, match=r"shards\.json: cannot be read: No such file"):
        open_index(tmp_path)
    with pytest.raises(RemoteError, match=rf"{url}/nowhere/shards\.json: cannot be read"):
        open_index(f"{url}/nowhere")
    with pytest.raises(ShardError, match=r"no shards of .* have such names"):
        open_index(folder / "fold07_*.tar")
    with pytest.raises(RemoteError, match="not a URL that can be read"):
        open_index("nonsense://x/y")


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    with pytest.raises(RemoteError, match=r"extra 'remote' is not installed; python -m pip install -e '\.\[remote\]'"):
        Folder("s3://bucket").read("x")


def test_byte_ranges(folder, web, tmp_path):
    url, requests = web
    for place in (folder, url):
        reader = ShardReader(*open_index(place), ShardCache(tmp_path, 10 * SIZE))
        for n in (3, 7, 3):
            assert reader.read(f"fold{n // 5:02d}_{n % 5:05d}.tar", 5, 20) == bytes([n]) * 20
        with pytest.raises(ShardError, match=r"fold00_00003\.tar: ends before byte 1010"):
            reader.read("fold00_00003.tar", 990, 20)
        reader.close()
    assert len([name for method, name in requests if method == "GET" and name.endswith("tar")]) == 2, "whole, and once"


def test_copies_never_take_more_than_their_share(web, tmp_path):
    folder, index = open_index(web[0])
    cache = ShardCache(tmp_path, 3 * SIZE)
    for n, shard in enumerate([*index.shards, index.shards[-2], index.shards[0]]):
        opened = cache.fetch(shard, folder, "p")
        os.utime(opened, ns=(n, n))  # the clock is coarse
        assert os.pread(opened, 1, 0)[0] == index.shards.index(shard)
        os.close(opened)
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 3 * SIZE
    kept = {path.name.split("-")[1] for path in tmp_path.glob("[!.]*.tar")}
    assert kept == {index.shards[n].name for n in (9, 8, 0)}, "those used last"


def test_what_a_killed_download_left_is_taken_back(web, tmp_path):
    folder, index = open_index(web[0])
    cache = ShardCache(tmp_path, 2 * SIZE)
    os.close(cache.fetch(index.shards[0], folder, "p"))
    name = next(tmp_path.glob("[!.]*.tar")).name.replace(index.shards[0].name, index.shards[5].name)
    left, lock = tmp_path / f".partial-{name}", tmp_path / f".lock-{name}"
    left.write_bytes(b"x" * 500)
    lock.write_bytes(b"\0" * SIZE)
    with lock.open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        os.close(cache.fetch(index.shards[1], folder, "p"))
        assert left.exists() and len(list(tmp_path.glob("[!.]*.tar"))) == 1, "a download under way counts"
    os.close(cache.fetch(index.shards[2], folder, "p"))
    assert not left.exists() and lock.stat().st_size == 0 and len(list(tmp_path.glob("[!.]*.tar"))) == 2


def test_many_readers_download_once(web, tmp_path):
    url, requests = web
    folder, index = open_index(url)
    failures = []

    def read():
        try:
            reader = ShardReader(folder, index, ShardCache(tmp_path, 4 * SIZE))
            for n in range(3):
                assert reader.read(index.shards[n].name, 0, SIZE) == bytes([n]) * SIZE
            reader.close()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(name for method, name in requests if method == "GET" and name.endswith("tar")) == [
        shard.name for shard in index.shards[:3]
    ]


def test_the_next_shard_is_fetched_ahead(web, tmp_path):
    folder, index = open_index(web[0])
    reader = ShardReader(folder, index, ShardCache(tmp_path, 10 * SIZE))
    names = [index.shards[n].name for n in (4, 2, 8)]
    reader.expect(names)
    reader.read(names[0], 0, 1)
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and "_fetch_ahead" in thread.name:
            thread.join()
    assert {path.name.split("-")[1] for path in tmp_path.glob("[!.]*.tar")} == set(names[:2])
    reader.close()


def test_shards_of_another_packing_are_reported(folder, web, tmp_path):
    other = Shard("fold00_00000.tar", 0, SIZE + 1, 1)
    with pytest.raises(ShardError, match=r"fold00_00000\.tar: has 1000 bytes; shards\.json says 1001"):
        ShardCache(tmp_path, 10 * SIZE).fetch(other, Folder(web[0]), "p")
    assert list(tmp_path.glob("[!.]*.tar")) == [] and list(tmp_path.glob(".partial*")) == []
    index = open_index(folder)[1]
    changed = ShardIndex((other,), index.table, index.checksum)
    with pytest.raises(ShardError, match="says 1001"):
        ShardReader(Folder(folder), changed, ShardCache(tmp_path, 0)).read(other.name, 0, 1)

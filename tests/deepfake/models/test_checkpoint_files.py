"""Files that are no checkpoint, or a damaged one, are told for what they are."""

import io
import struct
import tarfile
import zipfile
import zlib

import pytest
import torch
from torch.serialization import set_crc32_options

from deepfake.models.checkpoint_files import check_file


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "checkpoint"
    torch.save({"state_dict": {"weight": torch.arange(3000.0)}, "epoch": 3}, path)
    return path


def tar() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("checkpoint"))
    return data.getvalue()


def packed(**entries: bytes) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return data.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty; download it again"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", "a Git LFS pointer.*git lfs pull"),
        (b"<!DOCTYPE html><html><head></head></html>", "a web page, not a checkpoint; download it again"),
        (b"\xef\xbb\xbf\n <html>", "a web page"),
        (struct.pack("<Q", 60) + b'{"fc.weight":{"dtype":"F32"}}', "a safetensors file.*torch.save"),
        (tar(), "a tar archive; unpack it first"),
        (b"\x1f\x8b\x08" + bytes(20), "compressed with gzip; unpack it first"),
        (packed(checkpoint=b"x"), "a zip archive of other files; unpack it first"),
        (b"PK\x03\x04" + bytes(100), "damaged or cut off"),
    ],
)
def test_other_files_are_named(tmp_path, content, message):
    path = tmp_path / "odd"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        check_file(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_checkpoints_pass(saved, zipped):
    check_file(saved)
    torch.save(torch.load(saved), saved, _use_new_zipfile_serialization=zipped)
    check_file(saved)


def test_without_checksums_there_is_nothing_to_compare(saved):
    content = torch.load(saved)
    set_crc32_options(False)
    try:
        torch.save(content, saved)
    finally:
        set_crc32_options(True)
    check_file(saved)


def test_every_flipped_bit_of_the_numbers_is_seen(saved):
    data = saved.read_bytes()
    start = data.index(torch.arange(3000.0).numpy().tobytes())
    for place in range(start, start + 12000, 601):
        damaged = bytearray(data)
        damaged[place] ^= 1 << place % 8
        saved.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"damaged or cut off .*Bad CRC-32"):
            check_file(saved)


def test_a_compressed_archive_is_refused_unread(saved, tmp_path):
    bomb = tmp_path / "bomb"
    with zipfile.ZipFile(saved) as archive, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as compressed:
        for name in archive.namelist():
            compressed.writestr(name, bytes(1 << 24) if name.endswith("data/0") else archive.read(name))
    assert bomb.stat().st_size < 1 << 20
    with pytest.raises(ValueError, match="its archive is compressed, which torch never writes"):
        check_file(bomb)


def test_entries_that_lie_over_each_other_are_refused(saved, tmp_path):
    """One stored entry, listed many times: little on the disk, much in memory."""
    block = bytes(1 << 16)
    name, checksum = b"c/data.pkl", zlib.crc32(block)
    local = struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, 0, 0, 0, 0, checksum, len(block), len(block), len(name), 0)
    sizes = (checksum, len(block), len(block), len(name))
    entry = struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 20, 20, 0, 0, 0, 0, *sizes, 0, 0, 0, 0, 0, 0)
    listed = (entry + name) * 50
    at = len(local) + len(name) + len(block)
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 50, 50, len(listed), at, 0)
    bomb = tmp_path / "bomb"
    bomb.write_bytes(local + name + block + listed + end)
    with pytest.raises(ValueError, match=r"claims to be larger than the file|damaged or cut off"):
        check_file(bomb)

"""What a checkpoint's file is, before torch reads it.

torch.load neither compares a zip archive's checksums nor bounds the memory that an archive takes, and what it says of
other files does not help whoever downloaded the wrong one.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

_HEAD = 1024
"""Bytes that tell what a file is."""
_ZIP = b"PK\x03\x04"
_PICKLED = "data.pkl"
"""The file in torch's archives that holds everything but the numbers."""
_BLOCK = 1 << 20

_AGAIN = "download it again"
_PAGE = f"a web page, not a checkpoint; {_AGAIN}, with the page's own download link"
_BEGINNINGS = (  # in lower case
    (b"version https://git-lfs", "a Git LFS pointer, not the file that it stands for; fetch that: git lfs pull"),
    (b"<!doctype", _PAGE),
    (b"<html", _PAGE),
    (b"<?xml", _PAGE),
    (b"<head", _PAGE),
    (b"\x1f\x8b", "compressed with gzip; unpack it first"),
    (b"7z\xbc\xaf", "a 7-Zip archive; unpack it first"),
    (b"rar!", "a RAR archive; unpack it first"),
    (b"\x89hdf", "an HDF5 file (Keras), not a checkpoint of torch"),
    (b"gguf", "a GGUF file, not a checkpoint of torch"),
)


def check_file(path: Path) -> None:
    """Check that a file can be a checkpoint of torch, and that its archive is whole and takes no more memory than disk.

    Files of before torch 1.6 are no archives and hold no checksums: of them only the beginning is looked at.

    Raises:
        ValueError: anything else, damaged or cut; the message says what it is and the cure, not the file's name.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        raise ValueError(f"empty; {_AGAIN}")
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32:
        raise ValueError(
            "a safetensors file, which holds no model spec; make a checkpoint of it: "
            "torch.save({'spec': SPEC, 'state_dict': safetensors.torch.load_file(FILE)}, CHECKPOINT)"
        )
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for beginning, reason in _BEGINNINGS:
        if text.startswith(beginning):
            raise ValueError(reason)
    if head[257:262] == b"ustar":
        raise ValueError("a tar archive; unpack it first")
    if head.startswith(_ZIP):
        _check_archive(path)


def _check_archive(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if not any(entry.filename.rpartition("/")[2] == _PICKLED for entry in entries):
                raise ValueError("a zip archive of other files; unpack it first")
            # torch stores tensors as they are. Compressed, or one over the other, they would take any memory.
            if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries):
                raise ValueError(
                    "refused: its archive is compressed, which torch never writes; save it with torch.save"
                )
            if sum(entry.file_size for entry in entries) > path.stat().st_size:
                raise ValueError(f"refused: its archive claims to be larger than the file; {_AGAIN}")
            # All are 0 where torch wrote none on request (torch.serialization.set_crc32_options).
            if any(entry.CRC for entry in entries):
                for entry in entries:
                    _compare_checksum(archive, entry)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, OverflowError, LookupError) as error:
        raise ValueError(f"damaged or cut off ({error}); {_AGAIN}") from error


def _compare_checksum(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """Read an entry to its end, where its checksum is compared."""
    with archive.open(entry) as file:
        while file.read(_BLOCK):
            pass

"""File names that fit the disk, and names of others' files as tables and terminals can show them.

A video may be called anything that its file system allows: 255 bytes, control characters, bytes that are not UTF-8
(Python holds these as surrogates, U+DC80 to U+DCFF), the first letter of a spreadsheet's formula. Such names work
everywhere; where they are shown, they are escaped, and where an escaped name is read back, `unescape` restores it.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import PurePath

MOST_BYTES = 255
"""Of one file name, on all file systems in common use."""

_DIGEST = 8
_LONGEST_SUFFIX = 32

# Control characters, surrogates, line separators, and marks that turn the direction of writing.
_UNSHOWABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_ESCAPED = re.compile(r"\\x([0-9a-f]{2})|\\u([0-9a-f]{4})")
_TO_ESCAPE = re.compile(f"{_UNSHOWABLE.pattern}|{_ESCAPED.pattern}")
_RAW_BYTE = 0xDC00
"""Added to a byte that is not UTF-8, it gives the surrogate that Python has in its place."""

_FORMULA = re.compile("'*[=+\\-@\uff1d\uff0b\uff0d\uff20]")
"""What spreadsheets compute, full-width forms included. Tabs and line ends before it are escaped anyway."""

_UNSAFE = re.compile(r"[^\w.() -]+")


def fit(name: str, prefix: str = "", suffix: str = "", most: int = MOST_BYTES) -> str:
    """Return `prefix + name + suffix` in at most `most` bytes: `name` is cut so that a file system takes it.

    What is cut off is replaced by a checksum of the whole name, so that different names stay different. The end of the
    name from its last dot stays: it tells the format.

    Raises:
        ValueError: prefix and suffix leave no room.
    """
    room = most - _size(prefix) - _size(suffix)
    if _size(name) <= room:
        return f"{prefix}{name}{suffix}"
    ending = PurePath(name).suffix if _size(PurePath(name).suffix) <= _LONGEST_SUFFIX else ""
    tail = f"~{hashlib.sha256(_encode(name)).hexdigest()[:_DIGEST]}{ending}"
    room -= _size(tail)
    if room < 0:
        raise ValueError(f"{prefix!r} and {suffix!r} leave no room for a name")
    # Cut between characters: half of one would be a name that is not UTF-8.
    kept, used = [], 0
    for character in name:
        used += _size(character)
        if used > room:
            break
        kept.append(character)
    return f"{prefix}{''.join(kept)}{tail}{suffix}"


def file_name(name: str, most: int = MOST_BYTES) -> str:
    """Return a visible file name, without special characters, for something that may be called by a path."""
    plain = _UNSAFE.sub("_", name).lstrip(". ") or "video"
    return fit(plain, most=most)


def escape(text: str) -> str:
    r"""Return `text` as a terminal or a table can show it.

    Control characters and bytes that are not UTF-8 become `\xNN`; other characters that cannot be shown, `\uNNNN`.
    A backslash that would be read as the beginning of such an escape becomes `\x5c`.
    """
    return _TO_ESCAPE.sub(_escaped, text)


def unescape(text: str) -> str:
    """Return what `escape` was given."""
    return _ESCAPED.sub(_unescaped, text)


def printable(text: str) -> str:
    """Return a message as a terminal can show it. Line ends stay; what else cannot be shown is escaped."""
    return "\n".join(_UNSHOWABLE.sub(_escaped, line) for line in text.split("\n"))


def one_line(text: str) -> str:
    """The same as one line: white space becomes single spaces."""
    return printable(" ".join(text.split()))


def to_cell(text: str) -> str:
    """Return `text` for a cell of a CSV table: escaped, and no formula.

    Spreadsheets compute what begins with = + - @: an apostrophe is put before it.
    """
    return escape(f"'{text}" if _FORMULA.match(text) else text)


def from_cell(cell: str) -> str:
    """Return what `to_cell` was given."""
    text = unescape(cell)
    return text[1:] if _FORMULA.match(text) and text.startswith("'") else text


def _escaped(match: re.Match[str]) -> str:
    text = match[0]
    if len(text) > 1:  # looks like an escape already
        return r"\x5c" + text[1:]
    code = ord(text)
    if 0xDC80 <= code <= 0xDCFF:
        code -= _RAW_BYTE
    elif code >= 0x80:
        return rf"\u{code:04x}"
    return rf"\x{code:02x}"


def _unescaped(match: re.Match[str]) -> str:
    if match[2] is not None:
        return chr(int(match[2], 16))
    code = int(match[1], 16)
    return chr(code if code < 0x80 else code + _RAW_BYTE)


def _encode(text: str) -> bytes:
    # Other surrogates than those of raw bytes cannot be a file's name, but may be in a metadata.json.
    try:
        return os.fsencode(text)
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _size(text: str) -> int:
    return len(_encode(text))


_NOT_PLAIN = re.compile(r"[/\\\x00-\x1f\x7f\ud800-\udfff]")


def is_plain_name(name: str) -> bool:
    """True if `name` names a file directly in a folder: no separators, no `..`, not hidden, not empty.

    Nor may it hold control characters or half characters (surrogates): tables and lists could not carry it.
    """
    return bool(name) and not name.startswith(".") and _NOT_PLAIN.search(name) is None

"""Text as editors, spreadsheets and shells write it: UTF-8, UTF-16 or UTF-32, with or without a byte-order mark."""

from __future__ import annotations

import codecs

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    # Before UTF-16, whose mark is the beginning of this one.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decode_text(content: bytes, errors: str = "strict") -> str:
    """Decode a file's content as its byte-order mark says, without the mark.

    Without one it is UTF-8, or UTF-16 if one of the first two bytes is zero, the other ASCII.

    Args:
        errors: as for `bytes.decode`.

    Raises:
        UnicodeDecodeError: another encoding, unless `errors` says otherwise.
    """
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), None)
    return content.decode(encoding or _unmarked_encoding(content), errors)


def _unmarked_encoding(content: bytes) -> str:
    first, second = content[:2] if len(content) > 1 else (1, 1)
    if 0 < first < 0x80 and second == 0:
        return "utf-16-le"
    return "utf-16-be" if first == 0 and 0 < second < 0x80 else "utf-8"

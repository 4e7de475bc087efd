"""Text as editors, spreadsheets and shells write it: UTF-8 with or without a byte-order mark, or marked UTF-16/32."""

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
    """Decode a file's content as its byte-order mark says, as UTF-8 without one. The mark is not part of the text.

    Args:
        errors: as for `bytes.decode`.

    Raises:
        UnicodeDecodeError: another encoding, unless `errors` says otherwise.
    """
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    return content.decode(encoding, errors)

"""Encodings that editors, spreadsheets and shells write."""

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepfake.storage.text_files import decode_text

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(TEXT)
@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
def test_a_mark_names_the_encoding_and_is_no_text(mark, encoding, text):
    if (mark, text[:1]) != (codecs.BOM_UTF16_LE, "\0"):  # that is UTF-32's mark
        assert decode_text(mark + text.encode(encoding)) == text


@given(TEXT)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
def test_text_that_begins_with_ascii_needs_no_mark(encoding, text):
    assert decode_text(f"ab{text}".encode(encoding)) == f"ab{text}"


def test_other_bytes_are_an_error_unless_replaced():
    with pytest.raises(UnicodeDecodeError):
        decode_text(b"caf\xe9")
    assert decode_text(b"caf\xe9", errors="replace") == "caf\ufffd"
    assert decode_text(b"") == ""

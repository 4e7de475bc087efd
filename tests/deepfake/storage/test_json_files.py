"""JSON of others: what is read is finite and fits, and every fault is one line that names the file."""

import pytest

from deepfake.storage import json_files
from deepfake.storage.json_files import parse_json, read_json, read_mapping

FAULTS = {
    "NaN": (b'{"a": NaN}', "a: expected a finite number; found NaN$"),
    "infinity": (b'{"a": -Infinity}', "a: expected a finite number; found -Infinity$"),
    "a float beyond all": (b'{"b": 1, "a": [2, {"c": 1e999}]}', r"a\[1\]\.c: expected a finite number; found 1e999$"),
    "401 digits": (
        b'{"a": 1' + b"0" * 400 + b"}",
        r"a: expected a whole number of at most 64 bits; found 10000000000000000000\.\.\.$",
    ),
    "5000 digits": (b'{"a": -1' + b"0" * 5000 + b"}", "a: expected a whole number"),
    "64 bits and one": (b'{"a": 9223372036854775808}', "at most 64 bits; found 9223372036854775808$"),
    "deep lists": (b"[" * 100_000, "nested too deep"),
    "deep mappings": (b'{"a":' * 100_000, "nested too deep"),
    "cut": (b'{"a": 1', "Expecting ',' delimiter"),
    "nothing": (b"", "Expecting value"),
    "other bytes": (b"\xff\xfe\x00", "can't decode"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_one_line_that_names_the_file(name, tmp_path):
    content, message = FAULTS[name]
    path = tmp_path / "odd.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as raised:
        read_json(path, "list")
    assert str(raised.value).startswith(f"{path}: not JSON: ")
    assert len(str(raised.value).splitlines()) == 1 and len(str(raised.value)) < len(str(path)) + 200


def test_what_is_no_file_of_a_bearable_size_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "large.json"
    path.write_text('{"a": 1}')
    monkeypatch.setattr(json_files, "LARGEST_FILE", 7)
    for file, message in ((path, "has 8 bytes; expected at most 7"), (tmp_path, "not a regular file")):
        with pytest.raises(ValueError, match=f"{file}: no .*{message}"):
            read_mapping(file, "list")
    with pytest.raises(ValueError, match="no readable list: No such file"):
        read_mapping(tmp_path / "none.json", "list")


def test_ordinary_json_is_read(tmp_path):
    text = '{"a": [1, -2.5e3, 9223372036854775807, null, true, "\u00fc"]}'
    expected = {"a": [1, -2500.0, 2**63 - 1, None, True, "\u00fc"]}
    assert parse_json(text) == parse_json(text.encode()) == parse_json("\ufeff" + text) == expected
    (tmp_path / "bom.json").write_text(text, encoding="utf-8-sig")
    assert read_mapping(tmp_path / "bom.json", "list") == expected
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(ValueError, match="expected a mapping; found list"):
        read_mapping(tmp_path / "list.json", "list")

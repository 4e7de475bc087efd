"""Names that fit the disk, and names that tables and terminals can show and give back."""

import os

import pytest

from deepfake.storage.names import escape, file_name, fit, from_cell, one_line, to_cell, unescape

CHINESE = "名" * 83 + ".mp4"
LATIN = os.fsdecode(b"gr\xfc\xdfe.mp4")


def test_a_name_that_fits_stays_as_it_is():
    assert fit("a b.mp4", ".partial-", ".json") == ".partial-a b.mp4.json"
    assert fit("x" * 246, ".partial-") == ".partial-" + "x" * 246


@pytest.mark.parametrize("name", [CHINESE, "x" * 251 + ".mp4", "é" * 126 + ".mp4", "a." + "b" * 253, "x" * 300])
def test_a_long_name_is_cut_between_characters_and_keeps_its_suffix(tmp_path, name):
    cut = fit(name, ".partial-", ".json")
    assert len(os.fsencode(cut)) <= 255
    (tmp_path / cut).touch()
    assert cut.endswith(".mp4.json") or not name.endswith(".mp4")
    assert cut != fit(name[:-5] + "~" + name[-4:], ".partial-", ".json"), "different names stay different"


def test_no_room_is_an_error():
    with pytest.raises(ValueError, match="no room"):
        fit("x" * 300, "p" * 250)


def test_a_page_of_any_name_can_be_written(tmp_path):
    hostile = ["../../etc/passwd", "a/b.mp4", ".hidden", "new\nline", "\x1b[2J", LATIN, CHINESE, "CON", "?", "<b>", ""]
    for name in hostile:
        plain = f"{file_name(name, 250)}.html"
        (tmp_path / plain).touch()
        assert plain.isprintable() and "/" not in plain and not plain.startswith(".") and plain.endswith(".html")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("clip (1) é 名 😀.mp4", "clip (1) é 名 😀.mp4"),
        (r"videos\clip.mp4", r"videos\clip.mp4"),
        ("new\nline\t\x1b[31m.mp4", r"new\x0aline\x09\x1b[31m.mp4"),
        (LATIN, r"gr\xfc\xdfe.mp4"),
        ("\x85\u202e4pm.mp4\u2028", r"\u0085\u202e4pm.mp4\u2028"),
        (r"a\x41\u0042", r"a\x5cx41\x5cu0042"),
        ("\\\n", r"\\x0a"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_cannot_be_shown_is_escaped_and_restored(name, shown):
    assert escape(name) == shown
    assert escape(name).isprintable()
    assert unescape(escape(name)) == name


@pytest.mark.parametrize("name", ["=1+1.mp4", "+1", "-1", "@SUM(A1)", "\uff1d1", "'=1", "''@", "\t=1", "\r=1"])
def test_formulas_are_no_formulas_in_a_cell(name):
    cell = to_cell(name)
    assert cell[0] in "'\\" and cell.isprintable()
    assert from_cell(cell) == name


@pytest.mark.parametrize("name", ["clip.mp4", "'quoted'.mp4", "a=b.mp4", " =1.mp4", "", "0.5", CHINESE])
def test_other_names_stand_in_a_cell_as_they_are(name):
    assert to_cell(name) == name == from_cell(name)


def test_a_message_is_one_line():
    assert one_line("a\n  b\x1b[2J\r\nc") == r"a b\x1b[2J c"

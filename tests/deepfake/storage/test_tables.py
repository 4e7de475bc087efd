"""Tables are read as they were written, whatever the names in them, and a spreadsheet computes nothing."""

import pytest

from deepfake.datasets.folds import FoldRow, read_folds, write_folds
from deepfake.storage.tables import TableError, read_table, write_table

COLUMNS = {"name": str, "number": int}
HOSTILE = ["=1+1", "+x", "-x", "@x", "'=x", "'quoted'", "a,b", 'say "x"', "new\nline", "\x1b[2J", r"a\x41", ""]


def test_every_name_survives(tmp_path):
    rows = [(name, -number) for number, name in enumerate(HOSTILE)]
    write_table(tmp_path / "t.csv", COLUMNS, rows)
    text = (tmp_path / "t.csv").read_text()
    assert text.startswith("name,number\n'=1+1,0\n'+x,-1\n") and text.replace("\n", "").isprintable()
    table = read_table(tmp_path / "t.csv", COLUMNS, "table")
    assert list(table.itertuples(index=False, name=None)) == rows


@pytest.mark.parametrize("rows", [[], [("a", 1)], [("a", 1), ("a", 2)]])
def test_plain_names_stand_as_they_are(tmp_path, rows):
    write_table(tmp_path / "t.csv", COLUMNS, rows)
    assert (tmp_path / "t.csv").read_text() == "name,number\n" + "".join(f"{a},{b}\n" for a, b in rows)
    assert list(read_table(tmp_path / "t.csv", COLUMNS, "table").itertuples(index=False, name=None)) == rows


def test_no_whole_number_is_an_error(tmp_path):
    (tmp_path / "t.csv").write_text("name,number\na,1.5\n")
    with pytest.raises(TableError, match="must be whole numbers"):
        read_table(tmp_path / "t.csv", COLUMNS, "table")


def test_a_fold_table_of_such_names(tmp_path):
    write_folds(tmp_path / "folds.csv", [FoldRow("=1+1", "0_0.png", 0, "=1+1", 0, 0)], 0)
    assert "\n=" not in (tmp_path / "folds.csv").read_text()
    assert list(read_folds(tmp_path / "folds.csv")["video"]) == ["=1+1"]

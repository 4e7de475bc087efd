"""Tables of labels as people have them: any separator, any order of columns, several words for each."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

from deepfake.datasets.label_words import LABEL_KEYS, LABEL_WORDS, NAME_KEYS, parse_label
from deepfake.storage.names import from_cell
from deepfake.storage.tables import TableError
from deepfake.storage.text_files import decode_text

TABLE_SUFFIXES = (".csv", ".tsv", ".txt")

_SEPARATORS = (",", ";", "\t", "|")
_SEPARATOR_LINE = re.compile(r"\s*sep=.?\s*$")
"""What spreadsheets may write above the header."""
_FIRST_BYTES = 1 << 14
_SHOWN = 200
"""Characters of a header in an error."""


@dataclass(frozen=True)
class LabelRow:
    """A video's row.

    Attributes:
        name: as the table writes it.
        label: 0 for real, 1 for fake.
        cells: what else the row says, by column: lower case, without spaces, underscores and hyphens. Cells that the
            row lacks are empty.
    """

    name: str
    label: int
    cells: dict[str, str]


def read_label_table(path: Path) -> list[LabelRow]:
    """Read a table with a column of names and one of labels, found by NAME_KEYS and LABEL_KEYS in any case.

    Raises:
        TableError: not a table, without one of the columns, an unknown label, or one name twice.
    """
    try:
        text = decode_text(path.read_bytes())
    except OSError as error:
        raise TableError(f"{path}: not a table of labels: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TableError(f"{path}: neither UTF-8 nor UTF-16 with a byte-order mark; save it as UTF-8") from error
    return _parse(path, text)


def begins_as_label_table(path: Path) -> bool:
    """Return whether the first lines of a file are those of a table of labels."""
    with path.open("rb") as file:
        content = file.read(_FIRST_BYTES)
    text = decode_text(content, errors="replace")
    if len(content) == _FIRST_BYTES:  # without the line that is cut
        text = text[: text.rfind("\n") + 1]
    try:
        return bool(_parse(path, text))
    except TableError:
        return False


def _parse(path: Path, text: str) -> list[LabelRow]:
    header, rows = _split(path, text)
    columns = {_column(cell): number for number, cell in reversed([*enumerate(header)])}
    name_at, label_at = (
        next((columns[_column(key)] for key in keys if _column(key) in columns), None)
        for keys in (NAME_KEYS, LABEL_KEYS)
    )
    if name_at is None or label_at is None:
        raise TableError(
            f"{path}: found the columns {', '.join(map(repr, header))[:_SHOWN]}; expected one of "
            f"{', '.join(NAME_KEYS)} and one of {', '.join(LABEL_KEYS)}, separated by comma, semicolon or tab"
        )
    found: dict[str, LabelRow] = {}
    for line, cells in rows:
        if len(cells) <= max(name_at, label_at):
            raise TableError(f"{path}: line {line}: {len(cells)} columns; expected {len(header)}")
        name, value = cells[name_at], cells[label_at]
        if name.startswith("'"):  # as our own tables write what a spreadsheet would compute
            name = from_cell(name)
        label = parse_label(value)
        if label is None:
            raise TableError(
                f"{path}: {name!r} has label {value!r}; expected one of {', '.join([*LABEL_WORDS, '0', '1'])}"
            )
        if name in found:
            raise TableError(f"{path}: {name!r} is there twice")
        others = {column: cells[at] if at < len(cells) else "" for column, at in columns.items()}
        found[name] = LabelRow(name, label, others)
    return list(found.values())


def _column(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).casefold()


def _split(path: Path, text: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """A table's header, and its rows with their line numbers. Its separator is the one that finds the most columns."""
    header = next((line for line in text.splitlines() if line.strip() and not _SEPARATOR_LINE.match(line)), "")
    separator = max(_SEPARATORS, key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    try:
        rows = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if any(map(str.strip, cells))]
    except csv.Error as error:
        raise TableError(f"{path}: not a table of labels: line {reader.line_num}: {error}") from error
    if rows and _SEPARATOR_LINE.match(separator.join(rows[0][1])):
        del rows[0]
    if not rows:
        raise TableError(f"{path}: not a table of labels: it is empty")
    return rows[0][1], rows[1:]

"""CSV tables with known columns: read with their types checked, written whole or not at all.

Text that a spreadsheet would compute, or that cannot be shown, is escaped when it is written, and restored when it is
read (`deepfake.storage.names.to_cell`).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO

import pandas as pd

from deepfake.storage import atomic
from deepfake.storage.names import from_cell, to_cell


class TableError(ValueError):
    """A table cannot be used; the message names the file and what was expected."""


def read_table(path: Path, columns: Mapping[str, type], what: str) -> pd.DataFrame:
    """A table's columns, in this order, others left out.

    Args:
        columns: name -> str or int.
        what: the table's name for messages.

    Raises:
        TableError: missing, not a table, without one of the columns, or with text where a whole number belongs.
    """
    return parse_table(path, columns, what, str(path))


def parse_table(file: Path | IO[bytes], columns: Mapping[str, type], what: str, source: str) -> pd.DataFrame:
    """`read_table` from a path or an open file; `source` names it in errors."""
    numbers = [name for name, kind in columns.items() if kind is int]
    try:
        # As text first: read as numbers, 1.5 would be cut to 1 and an id of 001 become 1.
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
    except (OSError, pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise TableError(f"{source}: not a {what}: {error}") from error
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise TableError(f"{source}: no column {', '.join(missing)}; expected {','.join(columns)}")
    try:
        return _each(table, columns, from_cell).astype(dict.fromkeys(numbers, int))
    except (ValueError, TypeError, OverflowError) as error:
        named = " and ".join(filter(None, [", ".join(numbers[:-1]), numbers[-1]]))
        raise TableError(f"{source}: {named} must be whole numbers: {error}") from error


def write_table(path: Path, columns: Iterable[str], rows: Sequence[Sequence[object]]) -> None:
    """Writes a table, atomically."""
    atomic.write_text(path, to_csv(pd.DataFrame(rows, columns=list(columns))))


def to_csv(table: pd.DataFrame) -> str:
    """Return a table as CSV."""
    text = io.StringIO()
    _each(table, table.columns, to_cell).to_csv(text, index=False, lineterminator="\n")
    return text.getvalue()


def _each(table: pd.DataFrame, columns: Iterable[str], function: Callable[[str], str]) -> pd.DataFrame:
    """A table's columns with a function applied to all text."""

    def apply(column: pd.Series) -> pd.Series:
        if pd.api.types.is_numeric_dtype(column):
            return column
        # Each different one once: tables of millions of rows repeat a few.
        return column.map({value: function(value) if isinstance(value, str) else value for value in column.unique()})

    return pd.DataFrame({name: apply(table[name]) for name in columns})

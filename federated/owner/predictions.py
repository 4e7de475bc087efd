"""Scores of an owner's crops as a table: `video,file,score`, the score the probability of being fake."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from deepfake.storage import atomic

COLUMNS = ("video", "file", "score")


def write_predictions(path: Path, predictions: pd.DataFrame) -> None:
    """Writes the table, every digit of it, atomically."""
    atomic.write_text(path, predictions[list(COLUMNS)].to_csv(index=False, float_format="%.17g"))


def read_predictions(path: Path) -> pd.DataFrame:
    """Raises ValueError if the file is missing, not such a table, or a score is no probability."""
    try:
        table = pd.read_csv(path, dtype={"video": str, "file": str}, keep_default_na=False)
        table = table[list(COLUMNS)].astype({"score": float})
    except (OSError, KeyError, ValueError, pd.errors.ParserError) as error:
        raise ValueError(f"{path}: not a table of {','.join(COLUMNS)}: {error}") from error
    if not table["score"].between(0, 1).all():
        raise ValueError(f"{path}: scores must be probabilities, 0 to 1")
    return table

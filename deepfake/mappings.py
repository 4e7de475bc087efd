"""JSON files that hold one mapping."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_mapping(path: Path, what: str, error_type: type[ValueError] = ValueError) -> dict[str, Any]:
    """Reads a mapping.

    Args:
        what: the file's name for messages.

    Raises:
        error_type: missing, not JSON, or no mapping; the message names the file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise error_type(f"{path}: no readable {what}: {error.strerror}") from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise error_type(f"{path}: not JSON: {error}") from error
    if not isinstance(content, dict):
        raise error_type(f"{path}: expected a mapping; found {type(content).__name__}")
    return content

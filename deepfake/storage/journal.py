"""What a long run has finished so far, kept beside its output, so that a killed run goes on where it was.

JSON lines: the first tells which run this is (its inputs and settings), each other one holds a finished piece. A run
with other settings never reads them.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from deepfake.storage import atomic
from deepfake.storage.disk_full import out_of_space
from deepfake.storage.json_files import parse_json
from deepfake.storage.names import fit

SUFFIX = ".journal"


def journal_of(output: Path) -> Path:
    """Return where the journal of the run that makes a file stands."""
    return output.with_name(fit(output.name, suffix=SUFFIX))


def begun_run(output: Path) -> dict[str, Any] | None:
    """Return what identifies the stopped run that was to make a file; None if there is none, or nobody can tell."""
    path = journal_of(output)
    try:
        run = parse_json(whole_lines(path)[0])["run"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return run if isinstance(run, dict) else None


class Journal:
    """The journal of one run. Use it as a context manager around `add`.

    Args:
        output: the file that the run makes; the journal stands beside it.
        run: what identifies the run, plain JSON values.
    """

    def __init__(self, output: Path, run: dict[str, Any]) -> None:
        self.path = journal_of(output)
        self._header = json.dumps({"run": run}, sort_keys=True)
        self._entries: dict[str, Any] = {}

    def __enter__(self) -> Journal:
        with out_of_space(self.path):
            # Rewritten without what a kill left half-written at its end.
            text = "".join(f"{line}\n" for line in [self._header, *map(_line, self._entries.items())])
            atomic.write_text(self.path, text)
            self._file = self.path.open("a", encoding="utf-8")
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        # What could not be written before cannot be flushed now; the first error is the one to tell.
        with contextlib.suppress(OSError):
            self._file.close()

    def read(self) -> dict[str, Any]:
        """Return the finished pieces of an earlier, stopped run of the same kind, by key; they are kept.

        Raises:
            ValueError: the file is damaged.
        """
        self._entries = {}
        if self.path.is_file():
            header, *lines = whole_lines(self.path) or [""]
            if header == self._header:
                try:
                    self._entries = dict(map(_entry, lines))
                except ValueError as error:
                    raise ValueError(f"{self.path}: damaged ({error}); remove it to start over") from error
        return dict(self._entries)

    def add(self, key: str, value: Any) -> None:
        """Record a finished piece.

        Raises:
            OutOfSpace: the disk is full.
        """
        append_line(self._file, self.path, _line((key, value)))

    def remove(self) -> None:
        """Remove the journal: the run is complete."""
        self.path.unlink(missing_ok=True)


def whole_lines(path: Path) -> list[str]:
    """Return the lines of a file that is appended to, without one that was being written when the run was killed."""
    return path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]


def append_line(file: IO[str], path: Path, line: str) -> None:
    """Write a line so that it outlives this process.

    Raises:
        OutOfSpace: the disk is full.
    """
    with out_of_space(path):
        file.write(line + "\n")
        file.flush()


def _entry(line: str) -> tuple[str, Any]:
    content = parse_json(line)
    if not isinstance(content, list) or len(content) != 2 or not isinstance(content[0], str):
        raise ValueError(f"{line[:60]!r}: expected a key and a value")
    return content[0], content[1]


def _line(entry: tuple[str, Any]) -> str:
    return json.dumps(entry)

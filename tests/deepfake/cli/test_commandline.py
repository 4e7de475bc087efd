"""A user's error ends in one line and a code of its own; a programmer's passes through."""

import pytest

from deepfake.cli.commandline import (
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    index_int,
    positive_float,
    positive_int,
    run_guarded,
)
from deepfake.storage.disk_full import OutOfSpace


def _raising(error: BaseException):
    def main() -> int:
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ValueError("boxes/a.json: not a box file"), EXIT_USAGE, "error: boxes/a.json: not a box file\n"),
        (FileNotFoundError(2, "No such file", "a.csv"), EXIT_USAGE, "error: [Errno 2] No such file: 'a.csv'\n"),
        (OutOfSpace("the disk is full"), EXIT_USAGE, "to continue\n"),
        (KeyboardInterrupt(), EXIT_INTERRUPTED, "run the same command again to continue\n"),
    ],
)
def test_users_errors(error, code, message):
    lines = []
    assert run_guarded(_raising(error), lines.append) == code
    assert len(lines) == 1
    assert lines[0].endswith(message)


def test_the_command_s_own_code_is_kept():
    assert run_guarded(lambda: 3, print) == 3


def test_a_programmer_s_error_passes_through():
    with pytest.raises(KeyError):
        run_guarded(_raising(KeyError("x")), print)


def test_positive_int():
    assert positive_int("3") == 3
    for text in ("0", "-1", "x", "1.5"):
        with pytest.raises(ValueError):
            positive_int(text)


def test_positive_float():
    assert (positive_float("0.5"), positive_float("2")) == (0.5, 2.0)
    for text in ("0", "-1", "x", "nan", "inf"):
        with pytest.raises(ValueError):
            positive_float(text)


def test_an_index_starts_at_zero():
    assert index_int("0") == 0 and index_int("12") == 12
    for text in ("-1", "1.5", "first"):
        with pytest.raises(ValueError):
            index_int(text)

"""Options derived from the fields of dataclasses."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Gt, Lt
from typing_extensions import Doc

from deepfake.cli.options import add_options, values_of


@dataclass(frozen=True)
class Options:
    source: Annotated[Path, Doc("what is read"), "FILE"]
    test_every: Annotated[int, Ge(1), Doc("epochs between tests")] = 2
    share: Annotated[float, Gt(0), Lt(1), Doc("at most 100 % of it")] = 0.25
    mode: Annotated[Literal["a", "b"] | None, Doc("how (default: as it fits)")] = None
    quick: Annotated[bool, Doc("skip the rest")] = False
    checked: Annotated[bool, Doc("do not check")] = True
    hidden: int = 7


NAMES = ("source", "test_every", "share", "mode", "quick", "checked")


@pytest.fixture
def parser():
    parser = argparse.ArgumentParser(prog="program")
    add_options(parser.add_argument, Options, NAMES, spelled={"test_every": "--test_every"})
    return parser


def parsed(parser, *words: str) -> Options:
    return Options(**values_of(Options, parser.parse_args(words)))


def test_defaults_are_the_fields(parser):
    assert parsed(parser, "--source", "x") == Options(Path("x"))


def test_every_option_sets_its_field(parser):
    words = ["--source=x", "--test_every=5", "--share=0.5", "--mode=b", "--quick", "--no-checked"]
    assert parsed(parser, *words) == Options(Path("x"), 5, 0.5, "b", True, False)


@pytest.mark.parametrize(
    "words, message",
    [
        ([], "the following arguments are required: --source"),
        (["--source", "x", "--test_every", "0"], "argument --test_every: 0: expected 1 or more"),
        (["--source", "x", "--test_every", "two"], "argument --test_every: invalid int value: 'two'"),
        (["--source", "x", "--share", "0"], "argument --share: 0: expected more than 0"),
        (["--source", "x", "--share", "1"], "argument --share: 1: expected less than 1"),
        (["--source", "x", "--share", "nan"], "argument --share: nan: expected a finite number"),
        (["--source", "x", "--mode", "c"], "argument --mode: invalid choice: 'c'"),
        (["--source", "x", "--hidden", "1"], "unrecognized arguments: --hidden"),
    ],
)
def test_what_a_field_refuses_is_a_usage_error(parser, capsys, words, message):
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(words)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_the_help_says_meaning_default_and_metavar(parser):
    text = " ".join(parser.format_help().split())
    assert "--source FILE what is read" in text
    assert "--test_every N epochs between tests (default: 2)" in text
    assert "--share X at most 100 % of it (default: 0.25)" in text
    assert "--mode {a,b} how (default: as it fits)" in text
    assert "--no-checked do not check" in text


def test_a_command_may_have_its_own_default_and_prefix():
    parser = argparse.ArgumentParser()
    add_options(parser.add_argument, Options, ["share"], defaults={"share": 0.75}, prefix="max_")
    assert "--max-share X" in parser.format_help() and "0.75" in parser.format_help()
    assert values_of(Options, parser.parse_args(["--max-share", "0.5"]), "max_") == {"share": 0.5}
    assert values_of(Options, parser.parse_args([]), "max_") == {"share": 0.75}

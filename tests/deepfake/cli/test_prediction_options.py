"""The options that say which networks score."""

import argparse
from pathlib import Path

import pytest

from deepfake.cli.prediction_options import (
    add_members,
    add_networks,
    add_precision,
    chosen_members,
)
from deepfake.media.video import SpreadFrames
from deepfake.models.precision import AUTO, PRECISIONS
from deepfake.prediction.ensemble import EnsembleError, Member, named_ensemble


def members(*arguments: str, **options) -> list[Member]:
    parser = argparse.ArgumentParser()
    add_members(parser)
    add_networks(parser.add_argument)
    return chosen_members(parser.parse_args(arguments), **options)


def test_models_and_their_weights():
    folder = Path("there")
    assert members("--models", "a") == [Member(Path("weights/a"))]
    chosen = members("--models", "a", "b", "--weights", "1", "3", "--weights-dir", "there", frames=SpreadFrames(5))
    assert chosen == [Member(folder / "a", 1, SpreadFrames(5)), Member(folder / "b", 3, SpreadFrames(5))]
    with pytest.raises(EnsembleError, match="expected 1 numbers"):
        members("--models", "a", "--weights", "1", "3")


def test_every_precision_can_be_asked_for():
    parser = argparse.ArgumentParser()
    add_precision(parser.add_argument, "somebody")
    assert parser.parse_args([]).precision == AUTO
    for name in PRECISIONS:
        assert parser.parse_args(["--precision", name]).precision == name


def test_an_ensemble_says_what_its_models_see():
    chosen = members("--ensemble", "second_place", "--weights-dir", "there", frames=SpreadFrames(5))
    assert chosen == named_ensemble("second_place", Path("there"))


@pytest.mark.parametrize("arguments", [[], ["--models", "a", "--ensemble", "first_place"], ["--models"]])
def test_one_of_the_two(arguments, capsys):
    with pytest.raises(SystemExit):
        members(*arguments)
    assert "--models" in capsys.readouterr().err

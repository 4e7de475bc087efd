"""Options that choose the videos of a data set."""

import argparse

import pytest

from deepfake.cli.dataset_options import add_dataset, dataset_arguments, read_chosen
from tests.data.dataset_trees import make_ffpp

WORDS = ["--layout", "ff++", "--methods", "Deepfakes", "FaceShifter", "--compression", "c23"]


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_dataset(parser.add_argument)
    return parser.parse_args(words)


def test_the_options_choose_videos(tmp_path):
    make_ffpp(tmp_path)
    everything, chosen = (read_chosen(tmp_path, parsed(*words)) for words in ([], WORDS))
    assert (everything.layout, chosen.layout) == ("ff++", "ff++")
    assert everything.because and not chosen.because
    assert {video.compression for video in chosen.videos.values()} == {"c23"}
    assert set(chosen.methods) <= {"Deepfakes", "FaceShifter"}
    assert 0 < len(chosen.videos) < len(everything.videos)


def test_the_arguments_give_the_same_options_again():
    assert dataset_arguments(parsed(*WORDS)) == WORDS
    assert dataset_arguments(parsed()) == []


def test_unknown_names_list_the_known(tmp_path):
    make_ffpp(tmp_path)
    with pytest.raises(ValueError, match=r"ff\+\+"):
        read_chosen(tmp_path, parsed("--layout", "ffpp"))
    with pytest.raises(ValueError, match="Deepfakes"):
        read_chosen(tmp_path, parsed("--methods", "Deepfake"))

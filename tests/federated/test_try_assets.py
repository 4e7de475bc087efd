"""Opener, algorithm and metrics from the command line."""

import json

import pytest
import torch

from deepfake.checkpoints.checkpoint import read_checkpoint
from federated.owner.local_training import LocalTraining
from federated.owner.predictions import read_predictions
from federated.owner.settings import LocalSettings
from federated.try_assets import main
from training.config import read_config

pytest.importorskip("substrafl")
pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.federated]


@pytest.fixture
def command(owners, tmp_path, run_main):
    """`command(step, kind, option, ...)` on the first owner's samples; must end well. Its output."""

    def call(step: str, kind: str, *options: object) -> str:
        code, out, err = run_main(main, step, "--data-samples", owners / "owner1" / kind, *options)
        assert code == 0, err
        return out

    return call


def test_the_assets_one_after_the_other(command, opened, config_file, tmp_path):
    assert "owner1, to train with: 24 crops, 6 videos" in command("open", "train")
    model, scores, figures = tmp_path / "m.pt", tmp_path / "p.csv", tmp_path / "scores.json"
    log = tmp_path / "logs" / "train.log"
    options = ("--config", config_file, "--rounds", 2, "--seed", 111, "--log-path", log)
    assert "network after round 2" in command("train", "train", *options, "--model-out", model)
    assert "owner1: round 2, epoch 1: loss" in log.read_text()
    log = tmp_path / "predict.log"
    command("predict", "test", "--model", model, "--predictions", scores, "--debug", "--log-path", log)
    first = read_predictions(scores)["video"].iloc[0]
    assert f"DEBUG owner1: {first}: 0." in log.read_text()
    message = command("score", "test", "--predictions", scores, "--out", figures)
    assert set(json.loads(figures.read_text())) == {"log_loss", "auc", "accuracy"} and "log_loss" in message

    state = LocalTraining.read(LocalSettings(read_config(config_file), 111), model)
    assert state.rounds == 2
    expected = state.predict(opened["owner1"]["test"])["score"].to_numpy()
    assert read_predictions(scores)["score"].to_numpy() == pytest.approx(expected)


def test_debug_is_short_and_the_same_command_gives_the_same_network(command, config_file, tmp_path):
    states = []
    for name in ("one.pt", "two.pt"):
        command("train", "train", "--config", config_file, "--debug", "--model-out", tmp_path / name)
        states.append(read_checkpoint(tmp_path / name))
    assert states[0].extra["training_state"]["step"] == 2
    for name, tensor in states[0].state_dict.items():
        assert torch.equal(tensor, states[1].state_dict[name])


def test_noise_in_place_of_faces(run_main, config_file, tmp_path):
    options = ("--fake-data", 6, "--config", config_file, "--debug", "--model-out", tmp_path / "m.pt")
    code, _, err = run_main(main, "train", *options)
    assert code == 0 and "noise: round 1" in err


def test_what_cannot_be_used_is_reported_in_a_line(run_main, owners, tmp_path):
    code, _, err = run_main(main, "open", "--data-samples", tmp_path)
    assert code == 2 and "sample.json: no readable description" in err
    torch.save({"state_dict": {}}, tmp_path / "m.pt")
    test = owners / "owner1" / "test"
    code, _, err = run_main(
        main, "predict", "--data-samples", test, "--model", tmp_path / "m.pt", "--predictions", tmp_path / "p.csv"
    )
    assert code == 2 and "m.pt" in err and not (tmp_path / "p.csv").exists()

"""An owner's training: the averaging around it, what it equals, what it refuses."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from deepfake.checkpoints.checkpoint import load_model, read_checkpoint
from federated.owner.finished import FinishedTasks
from federated.owner.local_training import LocalTraining, shared_names, write_start
from federated.owner.metrics import evaluate
from federated.owner.settings import LOCAL, LocalSettings
from federated.samples.samples import OwnerData, open_samples
from tests.data.federated_runs import ROUND
from training.config import parse_config
from training.options import RunOptions
from training.tasks.classifier import run_classifier

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.federated]


def settings_of(**changes) -> LocalSettings:
    fields = {f.name for f in dataclasses.fields(LocalSettings)}
    config = parse_config({**ROUND, **{k: v for k, v in changes.items() if k not in fields}}, "test")
    return LocalSettings(config, **{"seed": 111, **{k: v for k, v in changes.items() if k in fields}})


@pytest.fixture
def started(tmp_path, opened):
    """`started(settings)`: an owner's state at the start; the same file, the same weights."""

    def start(settings: LocalSettings) -> LocalTraining:
        path = tmp_path / f"{settings.batch_norm}.pt"
        if not path.exists():
            write_start(path, settings, None, None, from_scratch=True)
        return LocalTraining.read(settings, path)

    return start


def averaged(updates) -> list[np.ndarray]:
    """The mean as substrafl's aggregation node computes it."""
    pytest.importorskip("substrafl")
    from substrafl.strategies import FedAvg
    from substrafl.strategies.schemas import FedAvgSharedState

    from federated.owner.algorithm import FederatedClassifier

    strategy = FedAvg(algo=FederatedClassifier(settings=settings_of(), start="unused"))
    states = [FedAvgSharedState(n_samples=u.samples, parameters_update=u.weights) for u in updates]
    return strategy.avg_shared_states(shared_states=states, _skip=True).avg_parameters_update


def federate(settings, owners, started, rounds: int) -> list[LocalTraining]:
    states = [started(settings) for _ in owners]
    for _ in range(rounds):
        mean = averaged([state.train(data) for state, data in zip(states, owners)])
        for state in states:
            state.adopt(mean)
    return states


def training(opened) -> list[OwnerData]:
    return [opened[owner]["train"] for owner in ("owner1", "owner2")]


def test_two_owners_average_is_the_mean_weighted_by_samples(started, opened):
    states = [started(settings_of()) for _ in range(2)]
    before = states[0].weights()
    updates = [state.train(data) for state, data in zip(states, training(opened))]
    assert updates[0].samples > updates[1].samples  # they have unequal shares
    assert not np.allclose(updates[0].weights[0], updates[1].weights[0], atol=1e-6)
    for was, now in zip(before, states[0].weights()):  # everybody's, until the mean comes
        np.testing.assert_array_equal(was, now)
    mean, total = averaged(updates), sum(u.samples for u in updates)
    for state in states:
        state.adopt(mean)
    for name, got, *own in zip(states[0].names, states[1].weights(), *(u.weights for u in updates)):
        expected = sum(u.samples * w.astype(np.float64) for u, w in zip(updates, own)) / total
        np.testing.assert_allclose(got, expected, atol=1e-6, rtol=1e-6, err_msg=name)
    assert states[0].rounds == 1


@pytest.mark.parametrize("rounds", [1, 2])
def test_one_owner_equals_plain_training_of_the_same_steps(federated_root, started, tmp_path, rounds, config_file):
    folder = tmp_path / "samples"
    # All originals of fold 1 are one owner's, as training with fold 0 held out has them.
    from federated.samples.samples import Description, write_sample
    from federated.samples.splitting import split_by_owner
    from training.datasets.crop_data import open_folder

    table = open_folder(federated_root, None, "crops").table
    (part,) = split_by_owner(table, 1, fold=0)
    write_sample(folder, part["train"], Description.of(part["train"], "o", "train", str(federated_root), "crops", None))
    (state,) = federate(settings_of(), [open_samples([folder])], started, rounds)

    content = json.loads(config_file.read_text())
    content["optimizer"]["schedule"]["epochs"] = rounds
    config = tmp_path / "plain.json"
    config.write_text(json.dumps(content))
    run_classifier(RunOptions(
        config=config, data_dir=federated_root, seed=111, output_dir=tmp_path / "plain", logdir=tmp_path / "logs",
        from_scratch=True, fold=0, device="cpu",
    ))  # fmt: skip
    (last,) = (tmp_path / "plain").glob("*_last")
    plain = read_checkpoint(last).state_dict
    for name, tensor in state.network.state_dict().items():
        torch.testing.assert_close(tensor, plain[name], rtol=0, atol=0, msg=name)


def test_scores_improve_over_rounds(started, opened):
    settings = settings_of(batches_per_epoch=6, epochs=2, optimizer={**ROUND["optimizer"], "learning_rate": 0.05})
    states = [started(settings) for _ in range(2)]
    losses = []
    for round_ in range(5):
        if round_:
            mean = averaged([state.train(data) for state, data in zip(states, training(opened))])
            for state in states:
                state.adopt(mean)
        tests = [opened[owner]["test"] for owner in ("owner1", "owner2")]
        losses.append(np.mean([evaluate(t, s.predict(t)).log_loss for s, t in zip(states, tests)]))
    assert losses[-1] < 0.6 * losses[0]


def test_a_state_goes_on_from_its_file(started, opened, tmp_path):
    settings, owners = settings_of(), training(opened)
    straight = federate(settings, owners, started, 2)
    states = federate(settings, owners, started, 1)
    for n, state in enumerate(states):
        state.save(tmp_path / f"state{n}")
    states = [LocalTraining.read(settings, tmp_path / f"state{n}") for n in range(2)]
    mean = averaged([state.train(data) for state, data in zip(states, owners)])
    for state, expected in zip(states, straight):
        state.adopt(mean)
        for name, tensor in state.network.state_dict().items():
            torch.testing.assert_close(tensor, expected.network.state_dict()[name], rtol=0, atol=0)
        assert state.rounds == 2


def test_batch_norms_can_stay_with_their_owners(started, opened):
    settings = settings_of(batch_norm=LOCAL)
    first, second = federate(settings, training(opened), started, 2)
    states = first.network.state_dict(), second.network.state_dict()
    statistics = [name for name in states[0] if name.endswith(("running_mean", "running_var"))]
    assert statistics and not set(statistics) & set(first.names)
    assert any(not torch.equal(states[0][name], states[1][name]) for name in statistics)
    for name in first.names:
        assert torch.equal(states[0][name], states[1][name])
    assert set(shared_names(first.network, "average")) == {*first.names, *statistics}


def test_batch_norms_are_averaged_by_default(started, opened):
    first, second = federate(settings_of(), training(opened), started, 1)
    for name in first.names:
        assert torch.equal(first.network.state_dict()[name], second.network.state_dict()[name])
    assert any(name.endswith("running_var") for name in first.names)


def test_behind_the_last_round_nobody_trains(started, opened):
    settings = settings_of(rounds=1)
    (state,) = federate(settings, [opened["owner1"]["train"]], started, 1)
    before = state.weights()
    update = state.train(opened["owner1"]["train"])
    for was, handed_on in zip(before, update.weights):
        np.testing.assert_array_equal(was, handed_on)


def test_the_network_is_an_ordinary_checkpoint(started, opened, tmp_path):
    (state,) = federate(settings_of(), [opened["owner1"]["train"]], started, 1)
    state.save_weights(tmp_path / "network.pt", {"log_loss": 0.5})
    network, spec = load_model(tmp_path / "network.pt")
    assert spec.training["federated"] == {"rounds": 1, "epochs_a_round": 1, "batch_norm": "average"}
    assert spec.training["metric"] == {"log_loss": 0.5} and spec.input_size == 64
    assert "training_state" not in read_checkpoint(tmp_path / "network.pt").extra
    picture = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(network(picture), state.network.eval()(picture))


def test_a_network_starts_where_another_ended(started, opened, tmp_path):
    settings = settings_of()
    (state,) = federate(settings, [opened["owner1"]["train"]], started, 1)
    state.save_weights(tmp_path / "ended.pt", {})
    write_start(tmp_path / "start.pt", settings, None, tmp_path / "ended.pt", False)
    begun = LocalTraining.read(settings, tmp_path / "start.pt")
    for ended, now in zip(state.weights(), begun.weights()):
        np.testing.assert_array_equal(ended, now)
    assert begun.rounds == 0


def test_finished_tasks_are_not_repeated(started, opened, tmp_path, monkeypatch):
    finished, data, test = FinishedTasks(tmp_path / "finished"), opened["owner1"]["train"], opened["owner1"]["test"]
    state, update = finished.train(started(settings_of()), data)
    state.adopt(update.weights)
    scores = finished.predict(state, test)
    for name in ("train", "predict"):
        monkeypatch.setattr(LocalTraining, name, lambda *_: pytest.fail("done already"))
    again, update_again = finished.train(started(settings_of()), data)
    again.adopt(update_again.weights)
    assert again.fingerprint() == state.fingerprint() and update_again.samples == update.samples
    pd.testing.assert_frame_equal(finished.predict(again, test), scores)
    monkeypatch.undo()
    other, _ = finished.train(started(dataclasses.replace(settings_of(), seed=2)), data)  # other settings: done anew
    assert other.rounds == 0 and len(list((tmp_path / "finished").iterdir())) == 3
    again.train(data)  # its optimizer came along
    state.train(data)
    assert again.fingerprint() == state.fingerprint()


def test_too_few_samples_name_their_owner(started, opened):
    settings = settings_of(optimizer={**ROUND["optimizer"], "batch_size": 500})
    with pytest.raises(ValueError, match=r"owner1: .* training samples do not fill one batch of 500"):
        started(settings).train(opened["owner1"]["train"])


def test_a_schedule_that_ends_before_the_rounds_names_its_owner(started, opened):
    ending = {"type": "poly", "mode": "epoch", "epochs": 1, "params": {"max_iter": 3}}
    settings = settings_of(rounds=2, epochs=2, optimizer={**ROUND["optimizer"], "schedule": ending})
    with pytest.raises(ValueError, match=r"owner1: .*max_iter: .* is 0 after 3 epochs; expected 4 or more"):
        started(settings).train(training(opened)[0])


def test_owners_with_another_detector_are_refused(started, opened):
    data = dataclasses.replace(opened["owner2"]["train"], detection={"scale": 0.25, "min_face": 33, "factor": 0.5})
    for use in (started(settings_of()).train, started(settings_of()).predict):
        with pytest.raises(ValueError, match="owner2: its faces were cropped otherwise"):
            use(data)


def test_another_networks_mean_is_refused(started):
    state = started(settings_of())
    with pytest.raises(ValueError, match="the owners train different networks"):
        state.adopt(state.weights()[:-1])
    with pytest.raises(ValueError, match="the owners train different networks"):
        state.adopt([w[..., None] for w in state.weights()])


@pytest.mark.parametrize("changes", [{"epochs": 0}, {"batch_norm": "none"}])
def test_settings_that_make_no_sense_are_refused(changes):
    with pytest.raises(ValueError, match="expected"):
        settings_of(**changes)


def test_a_broken_crop_gets_no_score(started, opened, federated_root, tmp_path):
    import shutil

    from tests.data.federated_runs import generate

    root = Path(shutil.copytree(federated_root, tmp_path / "data"))
    generate(root, tmp_path / "out")
    data = open_samples([tmp_path / "out" / "owner1" / "test"])
    whole = started(settings_of()).predict(data)
    broken = whole.iloc[0]
    (root / "crops" / broken["video"] / broken["file"]).write_bytes(b"no picture")
    scores = started(settings_of()).predict(data)
    assert len(scores) == len(whole) - 1
    assert not ((scores["video"] == broken["video"]) & (scores["file"] == broken["file"])).any()

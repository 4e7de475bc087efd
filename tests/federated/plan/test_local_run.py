"""A whole federated run through Substra's local mode: real task processes, lost owners and killed runs included."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import torch

from deepfake.checkpoints.checkpoint import load_model
from federated.owner.local_training import LocalTraining, write_start
from federated.owner.metrics import METRICS
from federated.owner.settings import LocalSettings
from federated.plan.local_run import LocalRun, run
from federated.run_local import main
from federated.samples.samples import SAMPLE_JSON, OwnerData
from tests.data.federated_runs import generate
from training.config import read_config

substrafl = pytest.importorskip("substrafl")
pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.federated, pytest.mark.slow]

ROUNDS = 2
SEED = 111
DEADLINE_SECONDS = 600


class Program:
    """run_local.py as users run it, on data of its own."""

    def __init__(self, root: Path, samples: Path, config: Path, folder: Path, project_root: Path) -> None:
        self.root, self.samples, self.out = root, samples, folder / "out"
        self._words = [
            *(sys.executable, str(project_root / "federated/run_local.py"), "--samples", str(samples)),
            *("--config", str(config), "--rounds", str(ROUNDS), "--seed", str(SEED), "--out", str(self.out)),
        ]
        self._folder = folder

    def start(self) -> subprocess.Popen:
        with (self._folder / "output").open("w") as output:
            return subprocess.Popen(
                self._words, cwd=self._folder, stdout=output, stderr=output, start_new_session=True, text=True,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # whatever the tests were started with
            )  # fmt: skip

    def run(self) -> tuple[int, str]:
        process = self.start()
        return process.wait(DEADLINE_SECONDS), self.output

    @property
    def output(self) -> str:
        return (self._folder / "output").read_text()

    def wait_for(self, process: subprocess.Popen, there) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not there():
            assert process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.02)

    def finished(self) -> set[Path]:
        return set(self.out.glob("finished/[!.]*"))


@pytest.fixture(scope="module")
def program(federated_root, config_file, project_root, tmp_path_factory) -> Program:
    folder = tmp_path_factory.mktemp("local_run")
    root = Path(shutil.copytree(federated_root, folder / "data"))
    generate(root, folder / "samples", "--shares", 2, 1)
    return Program(root, folder / "samples", config_file, folder, project_root)


@pytest.fixture(scope="module")
def ended(program: Program) -> dict:
    """A run that is interrupted, killed in its first round, loses an owner, is begun again each time, and ends."""
    process = program.start()
    program.wait_for(process, lambda: "Compute plan progress" in program.output)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the task gets it, too
    interrupted = process.wait(DEADLINE_SECONDS), program.output

    process = program.start()
    program.wait_for(process, lambda: len(program.finished()) >= 1)
    running = psutil.Process(process.pid)
    ended_task = running.children()
    program.wait_for(process, lambda: set(running.children()) - set(ended_task))
    tasks = running.children()
    process.kill()  # it alone: its task is to notice
    process.wait()
    _, alive = psutil.wait_procs(tasks, timeout=60)
    orphans = [*alive, *sorted(program.finished())[1:]]
    killed = {path: path.stat().st_mtime_ns for path in program.finished()}

    process = program.start()
    table = program.samples / "owner2" / "train" / "folds.csv"
    program.wait_for(process, lambda: "Compute plan progress" in program.output)
    table.rename(table.with_suffix(".away"))  # the owner is there when the run begins, and gone when its turn comes
    lost_code, lost_output = process.wait(DEADLINE_SECONDS), program.output
    table.with_suffix(".away").rename(table)
    kept = {path: path.stat().st_mtime_ns for path in killed}

    code, output = program.run()
    lost = lost_code, lost_output
    return {
        "interrupted": interrupted,
        "orphans": orphans,
        "killed": killed,
        "kept": kept,
        "lost": lost,
        "end": (code, output),
    }


@pytest.fixture(scope="module")
def expected(opened, config_file, tmp_path_factory) -> tuple[LocalTraining, dict]:
    """The averaged network and the metrics after each round, computed in this process without Substra."""
    settings = LocalSettings(read_config(config_file), SEED)
    start = tmp_path_factory.mktemp("expected") / "start.pt"
    write_start(start, settings, None, None, from_scratch=False)
    states = {owner: LocalTraining.read(settings, start) for owner in opened}
    metrics = {}
    for round_ in range(ROUNDS + 1):
        if round_:
            updates = [state.train(opened[owner]["train"]) for owner, state in states.items()]
            total = sum(update.samples for update in updates)
            layers = zip(*(update.weights for update in updates))
            mean = [sum(u.samples / total * w for u, w in zip(updates, own)) for own in layers]
            for state in states.values():
                state.adopt(mean)
        for owner, state in states.items():
            test: OwnerData = opened[owner]["test"]
            metrics |= {(owner, round_, n): metric(test, state.predict(test)) for n, metric in METRICS.items()}
    return states["owner1"], metrics


def test_ctrl_c_ends_in_a_line(ended):
    code, output = ended["interrupted"]
    assert code == 130 and "run the same command again to continue" in output
    assert "Traceback" not in output and "failed" not in output


def test_a_lost_owner_ends_the_run_and_is_named(ended, program):
    code, output = ended["lost"]
    assert code == 2, output
    assert "the training of round 1 at owner2 failed" in output and "run the same command again" in output
    assert "folds.csv: not a fold table" in output  # why
    assert "Traceback" not in output


def test_no_task_outlives_a_killed_run(ended):
    assert ended["orphans"] == [], "the second task neither went on nor left a result"


def test_finished_tasks_outlive_the_run(ended, program):
    assert ended["killed"] and ended["kept"] == ended["killed"]
    assert not program.finished()  # of no use after the end


def test_the_run_ends_with_the_weighted_mean_of_its_owners(ended, program, expected):
    code, output = ended["end"]
    assert code == 0, output
    assert "Traceback" not in output
    network, spec = load_model(program.out / "federated.pt")
    state = expected[0].network.state_dict()
    for name in expected[0].names:
        torch.testing.assert_close(network.state_dict()[name], state[name], atol=1e-6, rtol=1e-6, msg=name)
    assert spec.training["federated"]["rounds"] == ROUNDS and spec.training["metric"]["log_loss"] > 0


def test_metrics_of_each_round_at_each_owner_are_reported(ended, program, expected):
    table = pd.read_csv(program.out / "performances.csv")
    federated = table[table["training"] == "federated"].set_index(["owner", "round", "metric"])["value"]
    assert set(federated.index) == set(expected[1])
    for key, value in expected[1].items():
        assert federated[key] == pytest.approx(value, abs=1e-5), key
    assert set(table["training"]) == {"federated", "owner1 alone", "owner2 alone", "pooled"}
    assert len(table) == 4 * len(expected[1])
    start = table[(table["round"] == 0) & (table["metric"] == "log_loss")].groupby("owner")["value"]
    np.testing.assert_allclose(start.max(), start.min(), atol=1e-6)  # all begin with the same network
    assert "pooled" in ended["end"][1] and "after round 2" in ended["end"][1]


def test_what_a_run_leaves(ended, program):
    left = {path.name for path in program.out.iterdir()}
    assert left == {"federated.pt", "start.pt", "performances.csv", "rounds.png", "logs", "experiment"}
    assert (program.out / "rounds.png").read_bytes().startswith(b"\x89PNG")
    assert "owner2: round 2, epoch 1: loss" in (program.out / "logs" / "owner2.log").read_text()
    assert {path.name for path in program.out.parent.iterdir()} == {"data", "samples", "out", "output"}


def broken(program: Program, tmp_path: Path, change) -> Path:
    samples = Path(shutil.copytree(program.samples, tmp_path / "samples"))
    change(samples)
    return samples


def other_detector(samples: Path) -> None:
    for kind in ("train", "test"):
        path = samples / "owner2" / kind / SAMPLE_JSON
        path.write_text(json.dumps({**json.loads(path.read_text()), "detection": {"preset": "other"}}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: shutil.rmtree(s), "no owner's data samples"),
        (other_detector, "found with other settings than those of"),
        (lambda s: shutil.copytree(s / "owner1", s / "owner3"), "is in another sample, too"),
        (lambda s: (s / "owner2" / "train" / "folds.csv").unlink(), "not a fold table"),
        (lambda s: (s / "owner2").rename(s / "aggregator"), "the organisation that averages is called that"),
    ],
)
def test_samples_that_cannot_be_used_stop_a_run_before_it_begins(
    program, tmp_path, run_main, config_file, change, message
):
    samples = broken(program, tmp_path, change)
    out = tmp_path / "out"
    code, _, err = run_main(main, "--samples", samples, "--config", config_file, "--out", out)
    assert code == 2 and message in err
    assert not out.exists()


def test_a_config_of_another_family_is_refused(program, tmp_path, run_main, project_root):
    config = project_root / "configs" / "xception.json"
    code, _, err = run_main(main, "--samples", program.samples, "--config", config, "--out", tmp_path / "out")
    assert code == 2 and "train_xception.py" in err


def test_missing_libraries_are_reported(program, tmp_path, config_file, monkeypatch, run_main):
    monkeypatch.setitem(sys.modules, "substrafl", None)
    code, _, err = run_main(main, "--samples", program.samples, "--config", config_file, "--out", tmp_path / "out")
    assert code == 2 and "pip install -e '.[federated]'" in err


def test_the_environment_is_left_as_it_was(program, tmp_path, config_file):
    before, folder = dict(os.environ), Path.cwd()
    settings = LocalSettings(read_config(config_file), SEED, rounds=1)
    with pytest.raises(ValueError, match="no such checkpoint"):
        run(LocalRun(program.samples, tmp_path / "out", settings, init=tmp_path / "missing.pt"))
    assert dict(os.environ) == before and Path.cwd() == folder

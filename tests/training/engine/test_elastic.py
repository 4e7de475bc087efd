"""Runs that are stopped and killed on the way: they go on as if nothing had happened."""

import copy
import dataclasses
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from deepfake.checkpoints.checkpoint import read_checkpoint
from deepfake.losslog import parse_losses
from tests.data.training_sets import TINY, second_place_config, write_endless
from training.engine import checkpointing
from training.engine import trainer as engine
from training.engine.checkpointing import Division, RunFiles
from training.engine.stopping import Stopped
from training.options import RunOptions
from training.tasks.classifier import run_classifier

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]

EPOCHS = 2
STEPS = 4
NAME = "classifier_DeepFakeClassifier_test_efficientnet_0"
TIMEOUT = 120


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    """Two epochs of four steps: batches of 4 for one process, of 2 for two."""
    schedule = {**TINY["optimizer"]["schedule"], "epochs": EPOCHS}
    path = tmp_path_factory.mktemp("config") / "tiny.json"
    optimizer = {**TINY["optimizer"], "schedule": schedule}
    path.write_text(json.dumps({**TINY, "batches_per_epoch": STEPS, "optimizer": optimizer}))
    return path


@pytest.fixture(scope="module")
def config_of_two(config) -> Path:
    content = json.loads(config.read_text())
    content["optimizer"]["batch_size"] = 2
    path = config.with_name("two.json")
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def options(config, shared_data_root, tmp_path):
    return RunOptions(
        config, shared_data_root, output_dir=tmp_path, logdir=tmp_path / "logs", device="cpu", resume="auto"
    )


class Log(list):
    """The lines that a run logs, without times a second."""

    def __enter__(self):
        self._handler = logging.Handler()
        self._handler.emit = lambda record: self.append(re.sub(r"[\d.]+ crops/s", "crops/s", record.getMessage()))
        logging.getLogger("training").addHandler(self._handler)
        logging.getLogger("training").setLevel(logging.INFO)
        return self

    def __exit__(self, *exception):
        logging.getLogger("training").removeHandler(self._handler)

    def results(self) -> list[str]:
        return [line for line in self if re.match("trained|epoch|fake_loss|real_loss|bce|log loss", line)]


@pytest.fixture(scope="module")
def whole(config, shared_data_root, tmp_path_factory, request):
    """The folder of a run that nothing disturbs, and its log."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("whole")
    with Log() as log:
        run_classifier(RunOptions(config, shared_data_root, output_dir=folder, logdir=folder / "logs", device="cpu"))
    torch.set_num_threads(threads)
    return folder, log


def same(value, other) -> bool:
    """Whether two trees of tensors and plain values are equal, bit by bit."""
    if isinstance(value, torch.Tensor):
        return torch.equal(value, other)
    if isinstance(value, dict):
        return value.keys() == other.keys() and all(same(value[k], other[k]) for k in value)
    if isinstance(value, (list, tuple)):
        return len(value) == len(other) and all(map(same, value, other))
    return value == other


def assert_same_end(folder: Path, whole: Path) -> None:
    first, second = (read_checkpoint(f / f"{NAME}_last") for f in (folder, whole))
    assert same(first.state_dict, second.state_dict)
    assert same(first.extra, second.extra)
    assert first.spec.training["metric"] == second.spec.training["metric"]
    assert not (folder / f"{NAME}_step").exists(), "removed when its epoch is done"


def at(monkeypatch, method: str, epoch: int, step: int, act) -> None:
    """Calls `act` when a trainer begins `method` after so many epochs and, in the epoch, steps."""
    plain = getattr(engine.Trainer, method)

    def disturbed(self, *arguments):
        if (self.progress.epoch, self.progress.step % self.task.steps) == (epoch, step):
            act()
        return plain(self, *arguments)

    monkeypatch.setattr(engine.Trainer, method, disturbed)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_killed_in_mid_epoch_equals_never_killed(options, whole, monkeypatch):
    def kill():
        raise KeyboardInterrupt

    with Log() as log:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            at(patch, "_step", 1, 3, kill)
            run_classifier(dataclasses.replace(options, checkpoint_every=2))
        step = read_checkpoint(options.output_dir / f"{NAME}_step")
        assert step.extra["epoch"] == 1 and step.extra["training_state"]["step"] == STEPS + 2
        torch.rand(3)
        run_classifier(dataclasses.replace(options, workers=2))
    assert_same_end(options.output_dir, whole[0])
    assert log.results() == whole[1].results(), "the epoch's mean losses count the steps before"
    assert any("_step after 1 epochs and 2 steps" in line for line in log)


def test_skipped_samples_are_not_read(options, monkeypatch):
    from training.datasets import crops

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        at(patch, "_step", 0, 2, terminate)
        run_classifier(options)
    read = []
    plain = crops.TrainingCrops.__getitem__
    monkeypatch.setattr(crops.TrainingCrops, "__getitem__", lambda self, i: read.append(i) or plain(self, i))
    run_classifier(dataclasses.replace(options, epochs=1))
    assert len(read) == 4, "three of four steps were done"


@pytest.mark.parametrize(
    ("method", "place", "done"),
    [
        ("_step", (0, 1), (0, 2)),
        ("validate", (0, 0), (0, STEPS)),
        ("end_epoch", (0, 0), None),
        ("_step", (1, 3), (1, 4)),
    ],
)
def test_sigterm_saves_and_the_next_run_goes_on(options, whole, monkeypatch, method, place, done):
    """In a step, as validation begins, between two epochs, and in the last step of all."""
    with Log() as log:
        with monkeypatch.context() as patch, pytest.raises(Stopped):
            at(patch, method, *place, terminate)
            run_classifier(options)
        path = options.output_dir / f"{NAME}_step"
        assert path.exists() == (done is not None)
        if done is not None:
            extra = read_checkpoint(path).extra
            assert (extra["epoch"], extra["training_state"]["step"]) == (done[0], done[0] * STEPS + done[1])
        run_classifier(options)
    assert_same_end(options.output_dir, whole[0])
    assert list(dict.fromkeys(log.results())) == whole[1].results()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, "as before"


def test_sigterm_does_not_wait_for_data(options, monkeypatch):
    """A loader that hangs, and a signal that comes while it does."""
    plain = engine.on_device

    def hang(batches, device):
        for n, batch in enumerate(plain(batches, device)):
            if n == 2:
                terminate()
                time.sleep(60)
            yield batch

    monkeypatch.setattr(engine, "on_device", hang)
    start = time.monotonic()
    with pytest.raises(Stopped):
        run_classifier(options)
    assert time.monotonic() - start < 50
    state = read_checkpoint(options.output_dir / f"{NAME}_step").extra["training_state"]
    assert state["step"] == 2


def test_loader_processes_survive_the_signal_that_goes_to_all(options, whole, monkeypatch):
    def terminate_all():
        for child in psutil.Process().children():
            child.terminate()
        time.sleep(0.3)
        terminate()

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        at(patch, "_step", 0, 1, terminate_all)
        run_classifier(dataclasses.replace(options, workers=2))
    run_classifier(options)
    assert_same_end(options.output_dir, whole[0])


def test_sigterm_before_the_first_step_leaves_nothing(options, monkeypatch):
    at(monkeypatch, "train_epoch", 0, 0, terminate)
    with pytest.raises(Stopped):
        run_classifier(options)
    assert not list(options.output_dir.glob("*_step")) and not list(options.output_dir.glob("*_last"))


def test_second_place_goes_on_in_mid_epoch(project_root, shared_faces_root, tmp_path, monkeypatch):
    from deepfake.models.networks import wsdan
    from training.options import WSDANOptions
    from training.tasks.wsdan import run_wsdan

    monkeypatch.setattr(wsdan, "BACKBONE", "test_efficientnet")
    config = second_place_config(project_root, "wsdan_xception", tmp_path / "wsdan.json")
    ends = []
    for name in ("whole", "stopped"):
        out = tmp_path / name
        chosen = WSDANOptions(
            config, shared_faces_root, output_dir=out, logdir=out, device="cpu", epochs=1, resume="auto"
        )
        if name == "stopped":
            with monkeypatch.context() as patch, pytest.raises(Stopped):
                at(patch, "_step", 0, 2, terminate)
                run_wsdan(chosen)
            assert (out / "wsdan_xception_step").exists()
        run_wsdan(chosen)
        ends.append(read_checkpoint(out / "wsdan_xception_last"))
    assert same(ends[0].state_dict, ends[1].state_dict) and same(ends[0].extra, ends[1].extra)


def test_a_step_of_another_division_is_not_continued(options, config_of_two, monkeypatch, caplog):
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        at(patch, "_step", 1, 1, terminate)
        run_classifier(options)
    step = options.output_dir / f"{NAME}_step"
    other = dataclasses.replace(options, config=config_of_two)
    with pytest.raises(ValueError, match=r"_step: saved in the middle .*\(now 2 batch size, not 4\)"):
        run_classifier(dataclasses.replace(other, resume=str(step)))
    with caplog.at_level(logging.INFO):
        run_classifier(dataclasses.replace(other, epochs=1))
    assert "its epoch begins anew" in caplog.text and "finished already: 1 of 1" in caplog.text


def test_a_step_that_its_epoch_has_outlived_is_left_out(options, monkeypatch):
    """Killed after `_last` was written and before `_step` was removed."""
    run_classifier(dataclasses.replace(options, epochs=1))
    files = RunFiles(options.output_dir, NAME)
    last = read_checkpoint(files.last)
    division = Division(1, 4, 777)
    old = copy.copy(last.extra)
    old.update(epoch=0, division=dataclasses.asdict(division))
    torch.save({"spec": last.spec.to_dict(), "state_dict": last.state_dict, **old}, files.step)
    assert files.resume_from("auto", division).path == files.last
    run_classifier(dataclasses.replace(options, epochs=1))
    assert not files.step.exists()


def test_an_epoch_of_another_length_is_refused(options, config, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        at(patch, "_step", 0, 1, terminate)
        run_classifier(options)
    shorter = tmp_path / "shorter.json"
    shorter.write_text(json.dumps({**json.loads(config.read_text()), "batches_per_epoch": 3}))
    with pytest.raises(ValueError, match=r"_step: made in an epoch of 4 steps; this one has 3; delete it"):
        run_classifier(dataclasses.replace(options, config=shorter))


def test_ranks_that_found_different_checkpoints_stop(options, monkeypatch):
    monkeypatch.setattr(
        checkpointing.distributed, "rows_of_ranks", lambda row, ranks: torch.stack([row, torch.zeros_like(row)])
    )
    run_alone = dataclasses.replace(options, epochs=1)
    run_classifier(run_alone)  # all at 0
    with pytest.raises(ValueError, match="all machines have to see the same folder"):
        run_classifier(dataclasses.replace(options))


# Processes.


def launch(project_root: Path, *arguments: str) -> subprocess.Popen:
    command = [sys.executable, "training/pipelines/launch.py", *arguments]
    return subprocess.Popen(
        command, cwd=project_root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def end(*processes: subprocess.Popen) -> str:
    """What processes that end well have printed; if one does not end, all are ended, and what they started."""
    printed = []
    try:
        for process in processes:
            printed += process.communicate(timeout=TIMEOUT)
            assert process.returncode == 0, "".join(printed)
    finally:
        for process in processes:
            if process.poll() is None:
                for started in psutil.Process(process.pid).children(recursive=True):
                    started.kill()
                process.kill()
    return "".join(printed)


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def train_sh(project_root: Path, data_root: Path, config: Path, out: Path, **environment: str) -> subprocess.Popen:
    """One network; its checkpoints have the names of a run that the command began alone."""
    environment = {
        **os.environ, "PYTHON": sys.executable, "CONFIG": str(config), "SEEDS": "777", "OMP_NUM_THREADS": "1",
        "WEIGHTS_DIR": str(out), "LOGS_DIR": str(out / "logs"), **environment,
    }  # fmt: skip
    command = ["bash", str(project_root / "train.sh"), str(data_root), "0", "--workers", "0", "--prefix", "classifier_"]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


@pytest.fixture(scope="module")
def whole_of_two(project_root, shared_data_root, config_of_two, tmp_path_factory) -> Path:
    """The folder of a run of two processes that nothing disturbs."""
    folder = tmp_path_factory.mktemp("whole_of_two")
    end(train_sh(project_root, shared_data_root, config_of_two, folder, NPROC="2"))
    return folder


def test_two_ranks_stopped_then_killed_on_two_machines_equal_two_undisturbed(
    project_root, shared_data_root, config_of_two, whole_of_two, tmp_path
):
    """SIGTERM to the launcher; then two launchers, as on two machines, and SIGKILL to one of the ranks."""
    script = str(project_root / "tests" / "training" / "disturbed_rank.py")
    out = tmp_path / "out"
    out.mkdir()
    standalone = ("--standalone", "--nproc_per_node", "2", script, str(config_of_two), str(shared_data_root))
    stopped = end(launch(project_root, *standalone, str(out), "SIGTERM", "launcher", "1", "0", "1"))
    assert (out / "sent_SIGTERM").exists() and "stopped in epoch 0 after 2 steps" in stopped
    assert read_checkpoint(out / f"{NAME}_step").extra["epoch_state"]["rows"].shape[0] == 2

    machines = [
        launch(
            project_root, "--nnodes", "2", "--node_rank", str(n), "--nproc_per_node", "1", "--max_restarts", "1",
            "--rdzv_backend", "c10d", "--rdzv_endpoint", f"127.0.0.1:{port}", "--rdzv_id", "test",
            "--rdzv_conf", f"is_host={n == 0}", script, str(config_of_two), str(shared_data_root), str(out),
            "SIGKILL", "self", "1", "1", "2",
        )
        for port in [free_port()]
        for n in range(2)
    ]  # fmt: skip
    output = end(*machines)
    assert (out / "sent_SIGKILL").exists()
    assert "after 0 epochs and 2 steps" in output and "after 1 epochs and 2 steps" in output
    assert_same_end(out, whole_of_two)


def test_train_sh_hands_sigterm_on_and_ends_well(project_root, shared_data_root, tmp_path):
    config = write_endless(tmp_path / "tiny.json")
    environment = {
        **os.environ, "PYTHON": sys.executable, "CONFIG": str(config), "SEEDS": "1 2", "OMP_NUM_THREADS": "1",
        "WEIGHTS_DIR": str(tmp_path / "weights"), "LOGS_DIR": str(tmp_path / "logs"),
    }  # fmt: skip
    command = ["bash", str(project_root / "train.sh"), str(shared_data_root), "0"]
    process = subprocess.Popen(
        [*command, "--workers", "1", "--epochs", "5000", "--checkpoint-every", "1"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + TIMEOUT
    while not list(tmp_path.glob("weights/*_last")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.terminate()
    message = time.monotonic()
    output = end(process)
    assert time.monotonic() - message < 30
    assert "stopped in epoch" in output and "training tiny_2" not in output
    assert "stopped in epoch" in (tmp_path / "logs" / "tiny_1").read_text()


def test_train_sh_begins_no_other_network_when_one_was_stopped_elsewhere(project_root, config, tmp_path):
    """Also between two epochs, when there is no _step."""
    python = tmp_path / "python"
    message = "2026-01-01 00:00:00 INFO stopped in epoch 1 after 0 steps; --resume auto goes on there"
    python.write_text(f'#!/bin/sh\n[ "$1" = -c ] || echo "{message}" >> {tmp_path / "logs" / "tiny_1"}\n')
    python.chmod(0o755)
    (tmp_path / "logs").mkdir()
    process = train_sh(project_root, tmp_path, config, tmp_path, PYTHON=str(python), SEEDS="1 2")
    output = end(process)
    assert "the same command goes on" in output and "training tiny_2" not in output


def test_train_sh_on_two_machines_equals_two_processes_of_one(
    project_root, shared_data_root, config_of_two, whole_of_two, tmp_path
):
    """The second machine is there first, so the main process is on it; both end well, and there is one log."""
    meeting = {"NNODES": "2", "RDZV": f"127.0.0.1:{free_port()}", "MAX_RESTARTS": "0"}
    machines = []
    for node in ("1", "0"):
        machines.append(train_sh(project_root, shared_data_root, config_of_two, tmp_path, NODE_RANK=node, **meeting))
        assert "training two_777" in machines[-1].stdout.readline(), "its launcher begins now"
    outputs = [end(machine) for machine in machines]
    assert ["finished 2 epochs" in output for output in outputs] == [True, False]
    assert not any("the same command goes on" in output for output in outputs)
    assert_same_end(tmp_path, whole_of_two)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in whole_of_two.iterdir()}
    one, two = (
        parse_losses((folder / "logs" / "two_777").read_text().splitlines()) for folder in (whole_of_two, tmp_path)
    )
    assert one == two and len(two) == EPOCHS


def test_published_launcher(project_root, shared_data_root, config_of_two, whole_of_two, tmp_path):
    """torch.distributed.launch, which passes --local-rank; the options are those of the published line."""
    command = [
        sys.executable, "-u", "-m", "torch.distributed.launch", "--nproc_per_node=2", f"--master_port={free_port()}",
        "training/pipelines/train_classifier.py", "--distributed", "--config", str(config_of_two),
        "--freeze-epochs", "0", "--test_every", "1", "--opt-level", "O0", "--label-smoothing", "0.01", "--folds-csv",
        str(shared_data_root / "folds.csv"), "--fold", "0", "--seed", "777", "--data-dir", str(shared_data_root),
        "--prefix", "classifier_", "--workers", "0", "--output-dir", str(tmp_path), "--logdir", str(tmp_path / "logs"),
        "--device", "cpu",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=project_root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    end(process)
    assert_same_end(tmp_path, whole_of_two)


@pytest.mark.parametrize("spelling", ["--local-rank=1", "--local_rank=1"])
def test_local_rank_is_accepted(spelling):
    from training.pipelines.options import parse_args

    with_rank, _ = parse_args(["c.json", "--data-dir", "d", spelling])
    without, _ = parse_args(["c.json", "--data-dir", "d"])
    assert with_rank() == without()


def test_several_machines_need_a_place_to_meet(project_root):
    done = subprocess.run(
        ["bash", str(project_root / "train.sh"), "data", "1"],
        env={**os.environ, "NNODES": "2"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and "RDZV" in done.stderr

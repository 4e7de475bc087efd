"""What needs processes of its own: train.sh killed and continued, two ranks over gloo."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from deepfake.checkpoints.checkpoint import load_weights, read_checkpoint
from deepfake.datasets.data_root import DataRoot
from deepfake.datasets.folds import read_folds
from deepfake.losslog import parse_losses
from deepfake.models import build_model
from tests.data.training_sets import TINY, second_place_config, write_endless
from training.config import read_config
from training.datasets.crop_reading import FolderCrops
from training.engine import distributed
from training.engine.trainer import Trainer
from training.options import RunOptions
from training.pipelines.command import LogFile
from training.tasks.classifier import ClassifierTask, run_classifier

pytestmark = pytest.mark.slow

EPOCHS = 8
TIMEOUT = 240


@pytest.fixture
def environment(tmp_path, tiny_config) -> dict[str, str]:
    content = {**TINY, "batches_per_epoch": 2}
    content["optimizer"] = {**TINY["optimizer"], "schedule": {**TINY["optimizer"]["schedule"], "epochs": EPOCHS}}
    tiny_config.write_text(json.dumps(content))
    return {
        **os.environ,
        "PYTHON": sys.executable,
        "CONFIG": str(tiny_config),
        "SEEDS": "777",
        "WEIGHTS_DIR": str(tmp_path / "weights"),
        "LOGS_DIR": str(tmp_path / "logs"),
        "OMP_NUM_THREADS": "1",  # as the run in this process that is compared with
    }


def train_sh(root: Path, *arguments: str, **options) -> subprocess.Popen:
    command = ["bash", str(root / "train.sh"), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


@pytest.mark.parametrize("arguments", [[], ["data"], ["data", "two"]])
def test_missing_arguments_print_the_usage(project_root, arguments):
    process = train_sh(project_root, *arguments)
    _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 2 and errors.startswith("usage: bash train.sh DATA_ROOT NUM_GPUS")


def test_killed_and_continued_equals_never_stopped(project_root, shared_data_root, environment, tmp_path):
    arguments = (str(shared_data_root), "0", "--workers", "0")
    process = train_sh(project_root, *arguments, env=environment, start_new_session=True)
    last = tmp_path / "weights" / "tiny_777_DeepFakeClassifier_test_efficientnet_0_last"
    deadline = time.monotonic() + TIMEOUT
    while not last.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert 1 <= read_checkpoint(last).extra["epoch"] < EPOCHS, "killed on the way"

    process = train_sh(project_root, *arguments, env=environment)
    output, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, errors
    assert "continuing from" in output and "s/batch" not in errors, "no progress bar without a terminal"

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    whole = tmp_path / "whole"
    run_classifier(
        RunOptions(Path(environment["CONFIG"]), shared_data_root, prefix="tiny_777_", output_dir=whole, logdir=whole)
    )
    torch.set_num_threads(before)
    first, second = read_checkpoint(last), read_checkpoint(whole / last.name)
    assert first.extra["epoch"] == second.extra["epoch"] == EPOCHS
    assert all(torch.equal(first.state_dict[k], second.state_dict[k]) for k in second.state_dict)
    log = (tmp_path / "logs" / "tiny_777").read_text().splitlines()
    assert [v.epoch for v in parse_losses(log)] == list(range(EPOCHS))
    assert {p.name for p in whole.glob("tiny*")} == {p.name for p in last.parent.iterdir()}, "nothing half-written"


def test_two_ranks_validate_like_one(project_root, shared_data_root, environment, tmp_path):
    environment["NPROC"] = "2"
    process = train_sh(
        project_root, str(shared_data_root), "0", "--workers", "0", "--epochs", "2", env=environment
    )  # fmt: skip
    output, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, errors
    assert output.count("trained epoch") == 2, "one rank logs"
    assert "Warning" not in errors, errors
    (last,) = (tmp_path / "weights").glob("*_last")
    checkpoint = read_checkpoint(last)
    config = read_config(Path(environment["CONFIG"]))
    network = build_model(config.network, **config.model_options)
    load_weights(network, checkpoint)
    ranks = distributed.start(False, "cpu")
    table = read_folds(shared_data_root / "folds.csv")
    task = ClassifierTask(network, config, table, 0, FolderCrops(DataRoot(shared_data_root)), ranks, 777)
    metrics = Trainer(task, config.optimizer, ranks, 777).validate()
    metric = checkpoint.spec.training["metric"]
    assert metric["bce"] == pytest.approx(metrics.bce, rel=1e-5)
    assert metric["fake_loss"] == pytest.approx(metrics.fake_loss, rel=1e-5)
    assert (metric["auc"], metric["accuracy"]) == (metrics.auc, metrics.accuracy)


def test_errors_of_users_are_one_line(project_root, tmp_path):
    script = project_root / "training" / "pipelines" / "train_classifier.py"
    arguments = ["--config", str(tmp_path / "none.json"), "--data-dir", str(tmp_path)]
    done = subprocess.run([sys.executable, str(script), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and "none.json" in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_log_that_cannot_be_written(project_root, tmp_path, capsys):
    (tmp_path / "file").touch()
    script = project_root / "training" / "pipelines" / "train_classifier.py"
    arguments = ["c.json", "--data-dir", str(tmp_path), "--log-file", str(tmp_path / "file" / "log")]
    done = subprocess.run([sys.executable, str(script), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and str(tmp_path / "file") in done.stderr and len(done.stderr.splitlines()) == 1

    full = LogFile(Path("/dev/full"))
    full.emit(logging.makeLogRecord({"msg": "epoch 0"}))
    assert capsys.readouterr().err == "error: /dev/full: [Errno 28] No space left on device\n"
    with pytest.raises(OSError):
        full.stream.close()


def train_command(config: Path, root: Path, weights: Path) -> list[str]:
    command = [
        sys.executable,
        "training/pipelines/train_classifier.py",
        "--config",
        str(config),
        "--data-dir",
        str(root),
    ]
    return [*command, "--output-dir", str(weights), "--logdir", str(weights), "--workers", "1", "--device", "cpu"]


def test_ctrl_c_tells_how_to_go_on(project_root, shared_data_root, tmp_path):
    command = train_command(write_endless(tmp_path / "tiny.json"), shared_data_root, tmp_path / "weights")
    process = subprocess.Popen(
        [*command, "--epochs", "500"],
        cwd=project_root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + TIMEOUT
    while not list(tmp_path.glob("weights/*_last")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert "interrupted" in errors and "--resume" in errors
    assert "Traceback" not in errors
    assert not list(tmp_path.glob("weights/.partial-*"))


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(project_root, shared_data_root, environment, tmp_path):
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode != 0:
        pytest.skip("this system lets nobody make a name space")
    weights = tmp_path / "weights"
    weights.mkdir()
    # A file system of 60 KiB over the weights folder, in a name space that ends with the command.
    script = 'mount -t tmpfs -o size=60k tmpfs "$0" || exit 98; "$@"; code=$?; ls -A "$0"; exit $code'
    command = train_command(Path(environment["CONFIG"]), shared_data_root, weights)
    done = subprocess.run(
        ["unshare", "-rm", "bash", "-c", script, str(weights), *command],
        cwd=project_root,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert ".partial-" not in done.stdout and "_last" not in done.stdout


# Second place.


def test_train_sh_takes_the_command_that_the_config_belongs_to(project_root, shared_faces_root, environment, tmp_path):
    config = second_place_config(project_root, "wsdan_efb3", tmp_path / "b3.json")
    environment["CONFIG"] = str(config)
    arguments = (str(shared_faces_root), "0", "--workers", "0", "--epochs", "1")
    process = train_sh(project_root, *arguments, env=environment)
    output, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, errors
    assert "finished 1 epochs" in output and "over 16 frames" in output
    checkpoint = read_checkpoint(tmp_path / "weights" / "b3_777_wsdan_efficientnet_b3_last")
    assert checkpoint.spec.architecture == "wsdan_efficientnet_b3"


def test_two_ranks_train_wsdan_to_the_same_weights(project_root, shared_faces_root, tmp_path):
    """Three passes before each backward, and centres that are averaged over ranks."""
    config = second_place_config(project_root, "wsdan_xception", tmp_path / "wsdan.json")
    out = tmp_path / "out"
    out.mkdir()
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    script = str(project_root / "tests" / "training" / "two_ranks.py")
    done = subprocess.run(
        [*launch, script, str(config), str(shared_faces_root), str(out)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    first, second = (torch.load(out / f"rank_{n}") for n in (0, 1))
    assert first["steps"] == 3, "24 samples by two ranks of 4"
    assert all(torch.equal(value, second["weights"][key]) for key, value in first["weights"].items())
    assert torch.equal(first["centres"], second["centres"]) and (first["centres"].norm(dim=1) > 0).all()
    checkpoint = read_checkpoint(out / "wsdan_xception_last")
    assert torch.equal(checkpoint.extra["training_state"]["recipe"]["centres"], first["centres"])
    assert all(torch.equal(value, first["weights"][key]) for key, value in checkpoint.state_dict.items())

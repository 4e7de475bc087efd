"""The log of a killed run: each epoch once, as if it had never been killed."""

import dataclasses
import logging
import multiprocessing
import os
import random
import re
import signal
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch

from deepfake.checkpoints.checkpoint import read_checkpoint
from training.engine import epoch_log
from training.engine.epoch_log import EpochEntry, complete_entry, lines_there
from training.options import RunOptions
from training.pipelines.command import LogFile, run_training
from training.tasks.classifier import run_classifier

pytestmark = pytest.mark.slow

NAME = "classifier_DeepFakeClassifier_test_efficientnet_0"

POINTS = {
    "before the entry is put down": ("os.rename", f"{NAME}_entry.json"),
    "before the checkpoint": ("os.rename", f"{NAME}_last"),
    "after the checkpoint, before the log": ("log", "trained epoch"),
    "while the log is written": ("log", "real_loss"),
    "after the log": ("os.remove", f"{NAME}_entry.json"),
}
"""What the trainer does next: an event of Python's audit hooks, and the file that it is about; or a line of its log."""


@pytest.fixture
def options(shared_data_root, tiny_config, tmp_path) -> RunOptions:
    out = tmp_path / "out"
    return RunOptions(tiny_config, shared_data_root, output_dir=out, logdir=out, device="cpu", resume="auto")


def work(options: RunOptions, log: Path, point: tuple[str, str] | None, epoch: int) -> None:
    """Trains in this process, which kills itself at the point in that epoch."""
    passed = 0

    def kill(event: str, arguments: tuple) -> None:
        nonlocal passed
        if point is None or event != point[0]:
            return
        name = str(arguments[event == "os.rename"])
        if name.endswith(point[1]) or (event == "log" and name.startswith(point[1])):
            passed += 1
            if passed > epoch:
                os.kill(os.getpid(), signal.SIGKILL)

    def log_entry(record: logging.LogRecord) -> bool:
        kill("log", (record.getMessage(),))
        return True

    torch.set_num_threads(1)
    sys.addaudithook(kill)
    logging.getLogger(epoch_log.__name__).addFilter(log_entry)
    os._exit(run_training(lambda: run_classifier(options), log))


def begin(options: RunOptions, log: Path, point: tuple[str, str] | None, epoch: int) -> BaseProcess:
    """Begins `work` in a process of its own."""
    # Forked by a fresh process that has imported all: after gradients in this one, a fork of it may not compute any.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "torch._dynamo"])  # which optimizers import
    process = context.Process(target=work, args=(options, log, point, epoch))
    process.start()
    return process


def train(options: RunOptions, log: Path, point: tuple[str, str] | None = None, epoch: int = 1) -> None:
    """Trains to the end, or to the point."""
    process = begin(options, log, point, epoch)
    process.join()
    assert process.exitcode == (0 if point is None else -signal.SIGKILL)


def entries(log: Path) -> list[str]:
    """The log's lines on epochs, without times."""
    lines = [re.sub(r"[\d.]+ crops/s", "crops/s", line) for line in log.read_text().splitlines()]
    found = [re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (?:INFO|WARNING) (.*)", line) for line in lines]
    assert all(found), lines
    wanted = re.compile("trained|epoch|fake_loss|real_loss|bce|log loss")
    return [match[1] for match in found if match and wanted.match(match[1])]


@pytest.fixture
def undisturbed(options, tmp_path) -> list[str]:
    whole = dataclasses.replace(options, output_dir=tmp_path / "whole", logdir=tmp_path / "whole")
    train(whole, tmp_path / "whole.log")
    return entries(tmp_path / "whole.log")


def test_killed_at_each_point(options, undisturbed, tmp_path):
    assert len(undisturbed) == 3 * 6
    for number, point in enumerate(POINTS.values()):
        out, log = tmp_path / f"out{number}", tmp_path / f"{number}.log"
        killed = dataclasses.replace(options, output_dir=out, logdir=out)
        train(killed, log, point)
        train(killed, log)
        assert entries(log) == undisturbed, point
        assert not list(out.glob("*_entry.json"))
        assert read_checkpoint(out / f"{NAME}_last").extra["epoch"] == 3


def test_killed_at_any_time(options, tmp_path):
    rng, log = random.Random(0), tmp_path / "log"
    longer = dataclasses.replace(options, checkpoint_every=1, epochs=6)
    train(dataclasses.replace(longer, output_dir=tmp_path / "whole"), tmp_path / "whole.log")
    for _ in range(30):
        process = begin(longer, log, None, 0)
        process.join(rng.uniform(0.2, 0.8))
        process.kill()
        process.join()
    train(longer, log)
    assert entries(log) == entries(tmp_path / "whole.log")


def test_a_new_run_does_not_complete_an_old_ones_log(options, tmp_path):
    log = tmp_path / "log"
    train(options, log, POINTS["after the checkpoint, before the log"])
    train(dataclasses.replace(options, resume=None, epochs=1), log)
    assert [line for line in entries(log) if "trained" in line] == 2 * [entries(log)[0]]


@pytest.mark.parametrize(
    ("log", "there"), [("", 0), ("x\n", 0), ("x\na\n", 1), ("x\na\ny\n", 1), ("x\na\nb\ny\n", 2), ("a\nb", 1)]
)
def test_lines_there(log, there):
    assert lines_there(["a", "b"], log) == there


def test_an_entry_survives_its_file(tmp_path, caplog):
    path, log = tmp_path / "entry", LogFile(tmp_path / "log")
    EpochEntry(3, ("one", "two"), 0.0).write(path)
    logger = logging.getLogger("training")
    logger.addHandler(log)
    with caplog.at_level(logging.INFO):
        complete_entry(path, epochs=4)
        complete_entry(path, epochs=4)
    logger.removeHandler(log)
    log.close()
    assert (tmp_path / "log").read_text() == "one\ntwo\n" and not path.exists()


@pytest.mark.parametrize("content", ["", "[]", '{"epoch": "x"}', "null"])
def test_a_file_that_is_no_entry(tmp_path, content):
    path = tmp_path / "entry"
    path.write_text(content)
    with pytest.raises(ValueError, match=f"{path}: .*delete it"):
        complete_entry(path, epochs=1)

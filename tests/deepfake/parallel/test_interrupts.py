"""Ctrl-C at any moment of a program: one line, exit code 130, no stack trace, nobody left."""

from deepfake.parallel.interrupts import MESSAGE, Interrupt

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.deepfake.parallel.test_idle_threads import STARTED_BY_OTHERS, programs

ROOT = Path(__file__).resolve().parents[3]
LAUNCHER = "training/pipelines/launch.py"
"""Starts others, which end by themselves; torchrun handles the signal."""

IMPORTED = "import deepfake.parallel.idle_threads\nimport deepfake.parallel.interrupts\n"


@pytest.mark.parametrize("program", sorted({*programs()} - STARTED_BY_OTHERS - {LAUNCHER}))
def test_every_program_begins_with_the_handler(program):
    begin = (ROOT / program).read_text().split("from __future__ import annotations\n")[1].lstrip()
    assert begin.startswith(
        (IMPORTED, "import deepfake.parallel.idle_threads\nfrom deepfake.parallel.interrupts import")
    )


def interrupted(arguments: list[str], seconds: float, times: int = 1, between: float = 0.0) -> tuple[int, str]:
    """Exit code and errors of a program that gets Ctrl-C after some seconds."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    time.sleep(seconds)
    for _ in range(times):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        time.sleep(between)
    message = process.communicate(timeout=30)[1]
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    return process.returncode, message


COMMANDS = [
    ["predict_folder.py", ".", "--models", "none"],
    ["deepfake_cam.py", "none.mp4", "--model", "none", "--output", "none"],
    ["-m", "export", "--help"],
    ["training/pipelines/train_classifier.py", "--config", "configs/tiny.json", "--data-dir", "none"],
]


@pytest.mark.parametrize("seconds", [0.4, 0.9])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_ctrl_c_during_imports(command, seconds):
    code, message = interrupted(command, seconds)
    if code != 130:  # it had come to its end
        assert code in (0, 2, -signal.SIGINT) and "Traceback" not in message
        return
    assert message.count("\n") == 1 and message.startswith("interrupted; "), message


BUSY = """
import deepfake.parallel.interrupts, sys, time
from deepfake.parallel import interrupts
from deepfake.cli.commandline import run_guarded

interrupts.install()  # -c is no program of the project

def main():
    try:
        print("started", file=sys.stderr, flush=True)
        time.sleep(30)
    finally:
        time.sleep(float(sys.argv[1]))
        print("cleaned up", file=sys.stderr, flush=True)
    return 0

sys.exit(run_guarded(main, sys.stderr.write))
"""


@pytest.mark.parametrize(
    ("cleaning", "times", "between", "message"),
    [
        ("0.1", 1, 0.0, "cleaned up\n" + MESSAGE),
        ("0.3", 3, 0.05, "cleaned up\n" + MESSAGE),  # one press that came several times
        ("20", 2, 0.8, MESSAGE),  # impatient
    ],
)
def test_ctrl_c_at_work_cleans_up_and_twice_ends_at_once(cleaning, times, between, message):
    process = subprocess.Popen([sys.executable, "-c", BUSY, cleaning], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert process.stderr.readline() == "started\n"
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        time.sleep(between)
    assert process.communicate(timeout=10)[1] == message
    assert process.returncode == 130


def test_other_processes_keep_pythons_handler():
    shown = "print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    code = f"import deepfake.parallel.interrupts, signal; {shown}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "True\n"
    assert not isinstance(signal.getsignal(signal.SIGINT), Interrupt), "nor do these tests"


def test_a_worker_ends_as_soon_as_its_parent_is_killed(tmp_path):
    """At once: a process that is left writes while the next run has begun."""
    code = """
import os, sys, time
from deepfake.parallel.pool import stream

def work(item):
    yield os.getpid()
    while True:
        pass

for part in stream([1, 2], work, 2):
    print(part.value, flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        workers = [int(process.stdout.readline()) for _ in range(2)]
        process.kill()
    deadline = time.monotonic() + 0.5
    while any(map(runs, workers)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(runs, workers))


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE  # nobody may be there to bury it
    except psutil.NoSuchProcess:
        return False

"""A signal to a shell script ends what it has started; the scripts are what shellcheck calls clean."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.sh"), *ROOT.glob("tests/*.sh")])

# In the place of any program: tells its process id, and sleeps. What scripts ask on the way, the real one answers.
PROGRAM = """#!/bin/bash
case "$*" in
    *"import json"* | *version_info*) exec {python} "$@" ;;
esac
echo "$$" >"{folder}/pid"
exec sleep 60
"""


@pytest.fixture
def program(tmp_path) -> Path:
    file = tmp_path / "program"
    file.write_text(PROGRAM.format(python=sys.executable, folder=tmp_path))
    file.chmod(0o755)
    return file


def commands(folder: Path, program: Path) -> dict[str, tuple[list[str], dict[str, str]]]:
    """Script -> its arguments and environment."""
    python = {"PYTHON": str(program)}
    return {
        "preprocess_data.sh": ([f"{folder}/data"], python),
        "make_dataset.sh": ([f"{folder}/data", f"{folder}/faces"], python),
        "predict_submission.sh": ([f"{folder}/data", f"{folder}/scores.csv"], python),
        "train.sh": ([f"{folder}/data", "0"], {**python, "LOGS_DIR": f"{folder}/logs"}),
        "download_weights.sh": ([f"{folder}/weights"], {"PYTHON": sys.executable, "DOWNLOADER": f"{folder}/curl"}),
        "download_data.sh": ([f"{folder}/data", "0"], {"PYTHON": sys.executable, "KAGGLE": str(program)}),
        "demo.sh": ([f"{folder}/demo"], python),
        "test.sh": ([], python),
    }


@pytest.mark.parametrize(
    ("script", "number"),
    [
        *((script, signal.SIGTERM) for script in sorted(commands(Path(), Path()))),
        ("preprocess_data.sh", signal.SIGINT),
        ("download_weights.sh", signal.SIGINT),
        ("demo.sh", signal.SIGHUP),
        ("train.sh", signal.SIGHUP),
    ],
)
def test_a_signal_to_a_script_alone_ends_its_program(script, number, program, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "curl").symlink_to(program)
    arguments, environment = commands(tmp_path, program)[script]
    process = subprocess.Popen(
        ["bash", str(ROOT / script), *arguments],
        env={**os.environ, **environment, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        text=True,
    )
    pid = tmp_path / "pid"
    deadline = time.monotonic() + 30
    while not (pid.exists() and pid.read_text().endswith("\n")) and time.monotonic() < deadline:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    started = int(pid.read_text())
    process.send_signal(number)
    message = process.communicate(timeout=20)[1]
    # train.sh has saved, and ends well.
    assert process.returncode in ((0,) if script == "train.sh" else (128 + number, -number)), message
    assert not psutil.pid_exists(started), "the program goes on"


CHILD = """
import signal, sys, time
try:
    print("started", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    time.sleep(0.5)
    print("ended well", flush=True)
    sys.exit(3)
"""


def test_ctrl_c_lets_the_program_end_by_itself_first(tmp_path):
    """It reaches the whole process group: handed on as well, it would come twice."""
    script = f"source {ROOT}/signals.sh; run {sys.executable} -c '{CHILD}'; echo goes on"
    process = subprocess.Popen(["bash", "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout.readline() == "started\n"
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=20)[0] == "ended well\n"
    assert process.returncode == 130


def test_a_script_without_signals_runs_as_if_there_was_no_run(tmp_path):
    script = f"""source {ROOT}/signals.sh
    VALUE=1 run bash -c 'echo $VALUE; cat; exit 3' <<< input || echo "code $?"
    run false
    echo not reached"""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("1\ninput\ncode 3\n", 1)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_scripts_are_clean():
    done = subprocess.run(["shellcheck", "-x", *SCRIPTS], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout

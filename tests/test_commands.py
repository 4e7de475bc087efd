"""Every command a user runs: complete help with an example, usage on missing arguments, no stack traces."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def _programs() -> list[str]:
    entries = [*ROOT.glob("*.py"), *ROOT.glob("preprocessing/*.py"), *ROOT.glob("bench/*.py")]
    entries += [*ROOT.glob("training/pipelines/*.py"), *ROOT.glob("visualize/*.py"), *ROOT.glob("federated/*.py")]
    return sorted(str(path.relative_to(ROOT)) for path in entries if "__main__" in path.read_text(encoding="utf-8"))


def _run(*command: str) -> subprocess.CompletedProcess:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("program", [*_programs(), "-m export"])
def test_help_explains_every_option_and_gives_an_example(program):
    done = _run(sys.executable, *program.split(), "--help")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^example", done.stdout, re.MULTILINE), f"{program} --help gives no example"
    assert program in done.stdout.split("example")[-1]
    options = done.stdout[done.stdout.index("options:") :].split("\nexample")[0]
    # argparse puts an option's help beside it or on the next line, indented further.
    for match in re.finditer(r"^  (-[^\n]*)\n(?=(.*))", options, re.MULTILINE):
        explained = "  " in match[1].strip() or match[2].startswith("      ")
        assert explained, f"{program}: {match[1]} has no help"


@pytest.mark.parametrize("script", sorted(path.name for path in ROOT.glob("*.sh")))
def test_shell_scripts_parse_and_are_strict(script):
    assert _run("bash", "-n", script).returncode == 0
    assert "set -euo pipefail" in (ROOT / script).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "script", ["preprocess_data.sh", "make_dataset.sh", "download_data.sh", "train.sh", "predict_submission.sh"]
)
def test_missing_arguments_print_the_usage(script):
    done = _run("bash", script)
    assert done.returncode == 2
    assert f"usage: bash {script}" in done.stderr
    assert _run("bash", script, "--help").stdout.startswith(f"usage: bash {script}")

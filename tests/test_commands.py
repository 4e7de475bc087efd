"""Every command a user runs: quick, complete help with an example, usage on missing arguments, no stack traces."""

import functools
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MODULES = ("-m export", "-m serving")
ALIAS = "-m export.serve"
"""Of the last one, whose help it gives."""
COLUMNS, TWO_SCREENS = 100, 96


@dataclass(frozen=True)
class Help:
    """What `--help` prints, and the modules that were imported for it."""

    text: str
    imported: frozenset[str]


def _programs() -> list[str]:
    entries = [*ROOT.glob("*.py"), *ROOT.glob("preprocessing/*.py"), *ROOT.glob("bench/*.py")]
    entries += [*ROOT.glob("training/pipelines/*.py"), *ROOT.glob("visualize/*.py"), *ROOT.glob("federated/*.py")]
    return sorted(str(path.relative_to(ROOT)) for path in entries if "__main__" in path.read_text(encoding="utf-8"))


def _run(*command: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "COLUMNS": str(COLUMNS)}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment)


@functools.cache
def _help(program: str) -> Help:
    done = _run(sys.executable, "-X", "importtime", *program.split(), "--help")
    assert done.returncode == 0, done.stderr[-2000:]
    return Help(done.stdout, frozenset(re.findall(r"^import time:.*\| *(\S+)$", done.stderr, re.MULTILINE)))


def _commands() -> list[list[str]]:
    found = []
    for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words = words[1:]
            if words:
                found.append(words)
    return found


@pytest.mark.parametrize("program", [*_programs(), *MODULES])
def test_help_explains_every_option_and_gives_an_example(program):
    text = _help(program).text
    assert re.search(r"^example", text, re.MULTILINE), f"{program} --help gives no example"
    assert program in text.split("example")[-1]
    options = text[text.index("options:") :].split("\nexample")[0]
    # argparse puts an option's help beside it or on the next line, indented further.
    for match in re.finditer(r"^  (-[^\n]*)\n(?=(.*))", options, re.MULTILINE):
        explained = "  " in match[1].strip() or match[2].startswith("      ")
        assert explained, f"{program}: {match[1]} has no help"


@pytest.mark.parametrize("program", [*_programs(), *MODULES])
def test_help_fits_two_screens(program):
    assert len(_help(program).text.splitlines()) <= TWO_SCREENS


@pytest.mark.parametrize("program", [*_programs(), *MODULES, ALIAS])
def test_help_does_without_torch(program):
    imported = _help(program).imported
    assert "argparse" in imported
    assert "torch" not in imported


@pytest.mark.parametrize("command", [c for c in _commands() if c[0] == "bash"], ids=" ".join)
def test_shell_scripts_of_the_readme_exist(command):
    assert (ROOT / command[1]).is_file()


@pytest.mark.parametrize("command", [c for c in _commands() if c[0] == "python" and c[1].endswith(".py")], ids=" ".join)
def test_commands_of_the_readme_use_options_that_exist(command):
    text = _help(command[1]).text
    for option in (word.split("=")[0] for word in command[2:] if word.startswith("--")):
        assert re.search(rf"{option}(?![\w-])", text), f"{command[1]} has no {option}"


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

"""The README's commands, links and pictures exist."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


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


@pytest.mark.parametrize("command", [c for c in _commands() if c[0] == "bash"], ids=" ".join)
def test_shell_scripts_of_the_readme_exist(command):
    assert (ROOT / command[1]).is_file()


@pytest.mark.parametrize("command", [c for c in _commands() if c[0] == "python" and c[1].endswith(".py")], ids=" ".join)
def test_commands_of_the_readme_use_options_that_exist(command):
    told = subprocess.run([sys.executable, command[1], "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    for option in (word.split("=")[0] for word in command[2:] if word.startswith("--")):
        assert re.search(rf"{option}(?![\w-])", told.stdout), f"{command[1]} has no {option}"


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#:]+)\)", README))
def test_links_and_pictures_exist(target):
    assert (ROOT / target).exists()

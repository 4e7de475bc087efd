"""The README tells the truth about the tree and the commands."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")

NOT_LISTED = {".gitignore", ".dockerignore", ".ci", "__init__.py", "conftest.py"}


def _tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [Path(name) for name in listed.splitlines()]


def _tree() -> str:
    return next(block for block in re.findall(r"```text\n(.*?)```", README, re.DOTALL) if "deepfake/" in block)


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


def test_the_tree_names_every_file():
    tree = _tree()
    for path in _tracked():
        if path.parts[0] in ("tests", "docs") or path.name in NOT_LISTED or path.parts[0] in NOT_LISTED:
            continue
        assert re.search(rf"(?<![\w.-]){re.escape(path.name)}(?![\w-])", tree), f"{path} is not in the README's tree"


def test_the_tree_names_nothing_else():
    names = {part for path in _tracked() for part in path.parts}
    for line in _tree().splitlines():
        name = line.split()[0].rstrip("/") if line.split() else ""
        if name:
            assert Path(name).name in names, f"the README's tree names {name}, which does not exist"


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

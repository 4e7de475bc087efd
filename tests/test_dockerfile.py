"""The Dockerfile's structure, as far as it shows without a Docker engine."""

import fnmatch
import re
import shlex
import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def instructions(project_root) -> list[tuple[str, str]]:
    """(instruction, arguments) in order; continued lines joined, comments dropped."""
    lines = [
        line
        for line in (project_root / "Dockerfile").read_text().splitlines()
        if line.strip() and not line.lstrip().startswith("#")
    ]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()
    return [(word.upper(), rest) for word, rest in (line.split(maxsplit=1) for line in joined)]


@pytest.fixture(scope="module")
def copied(project_root) -> set[str]:
    """The tracked files that `COPY . .` takes along: those that .dockerignore does not name."""
    names = subprocess.run(["git", "ls-files"], cwd=project_root, capture_output=True, text=True, check=True)
    patterns = [
        line for line in (project_root / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")
    ]
    return {name for name in names.stdout.splitlines() if not any(_ignores(pattern, name) for pattern in patterns)}


def _ignores(pattern: str, name: str) -> bool:
    """Docker's rule for the patterns used here: a path, or `**/` and a name at any depth; folders with all in them."""
    parts = Path(name).parts
    if pattern.startswith("**/"):
        return any(fnmatch.fnmatchcase(part, pattern[3:]) for part in parts)
    return any(fnmatch.fnmatchcase("/".join(parts[: i + 1]), pattern) for i in range(len(parts)))


def _all(instructions, word: str) -> list[str]:
    return [arguments for instruction, arguments in instructions if instruction == word]


def test_only_known_instructions(instructions):
    known = {"ARG", "FROM", "SHELL", "ENV", "RUN", "WORKDIR", "COPY", "USER", "VOLUME", "CMD"}
    assert {instruction for instruction, _ in instructions} <= known


def test_the_base_image_is_an_argument_and_a_cuda_image_of_pytorch(instructions):
    assert instructions[0][0] == "ARG" and instructions[1] == ("FROM", "${BASE_IMAGE}")
    name, image = instructions[0][1].split("=")
    assert name == "BASE_IMAGE"
    match = re.fullmatch(r"pytorch/pytorch:(\d+)\.(\d+)\.\d+-cuda[\d.]+-cudnn\d+-runtime", image)
    assert match and (int(match[1]), int(match[2])) >= (2, 11)


@pytest.mark.parametrize("name", ["TZ", "USER_ID", "GROUP_ID"])
def test_build_arguments_are_declared_before_their_use(instructions, name):
    declared = [i for i, (word, rest) in enumerate(instructions) if word == "ARG" and rest.split("=")[0] == name]
    used = [i for i, (word, rest) in enumerate(instructions) if word != "ARG" and f"${{{name}}}" in rest]
    assert declared and declared[0] > 1  # an ARG before FROM is unknown after it
    assert all(i > declared[0] for i in used)


def test_proxies_stay_out_of_the_image(instructions):
    """Docker keeps declared build arguments, passwords included, in the history; the predefined ones it leaves out."""
    assert not any("proxy" in arguments.lower() for _, arguments in instructions)


def test_bash_does_not_override_a_build_argument(instructions):
    """bash sets UID, EUID and GROUPS itself: as build arguments they would be ignored without a word."""
    assert not {rest.split("=")[0] for rest in _all(instructions, "ARG")} & {"UID", "EUID", "GROUPS", "PPID"}


def test_every_copied_path_exists(instructions, project_root):
    for arguments in _all(instructions, "COPY"):
        *sources, _ = [word for word in shlex.split(arguments) if not word.startswith("--")]
        assert all((project_root / source).exists() for source in sources)


def test_pip_reads_files_that_are_there_by_then(instructions):
    """Requirements are copied and installed before the code, so that a change of code leaves their layer alone."""
    there: set[str] = set()
    for word, arguments in instructions:
        if word == "COPY":
            there.update(shlex.split(arguments)[:-1])
        for name in re.findall(r"(?:--requirement|-r) +(\S+)", arguments if word == "RUN" else ""):
            assert name in there and "." not in there
    installs = [rest for rest in _all(instructions, "RUN") if "pip install" in rest]
    assert ["requirements.txt" in rest for rest in installs] == [True, False]
    assert "--no-deps" in installs[1] and "--editable ." in installs[1]


@pytest.fixture(scope="module")
def make_user(instructions):
    """`make_user(user, group)`: the commands on accounts that the image runs where the user 1000 and root exist."""
    (step,) = [rest for rest in _all(instructions, "RUN") if "useradd" in rest]
    named = "".join(f'{name}() {{ echo "{name} $*"; }}\n' for name in ("userdel", "useradd", "groupadd", "install"))
    accounts = '"passwd 1000") echo ubuntu:x ;; "passwd 0"|"group 0") echo root:x ;; *) false ;;'
    known = f'getent() {{ case "$1 $2" in {accounts} esac; }}\n'

    def make(user: int, group: int) -> list[str]:
        script = f"set -euo pipefail\nUSER_ID={user} GROUP_ID={group}\n{named}{known}{step}"
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    return make


def test_the_user_with_the_given_numbers_is_made(make_user):
    made = ["groupadd --gid 2000 deepfake", "useradd --uid 1000 --gid 2000 --create-home --shell /bin/bash deepfake"]
    folders = "install -d -o 1000 -g 2000 /app /data"
    assert make_user(1000, 2000) == ["userdel --remove ubuntu", *made, folders]
    assert make_user(1234, 0)[0].startswith("useradd --uid 1234 --gid 0 ")


def test_root_builds_for_root(make_user):
    """`--build-arg USER_ID=$(id -u)` as root: the account is there and must stay."""
    assert make_user(0, 0) == ["install -d -o 0 -g 0 /app /data"]


def test_it_runs_as_the_given_user(instructions):
    assert _all(instructions, "USER") == ["${USER_ID}:${GROUP_ID}"]
    position = max(i for i, (word, _) in enumerate(instructions) if word == "USER")
    assert not any(word in ("RUN", "COPY") for word, _ in instructions[position:])


def test_the_image_holds_what_it_runs_and_no_more(copied):
    needed = {"requirements.txt", "pyproject.toml", "README.md", "LICENSE", "kernel_utils.py", "predict_folder.py"}
    needed |= {
        "preprocess_data.sh",
        "train.sh",
        "predict_submission.sh",
        "configs/b7.json",
        "deepfake/datasets/data_root.py",
    }
    needed |= {"preprocessing/pipeline/work.py", "training/pipelines/train_classifier.py"}
    assert needed <= copied
    assert not {name for name in copied if name.split("/")[0] in (".git", ".venv", "weights", "demo_data", ".ci")}


@pytest.mark.parametrize(
    "name, ignored",
    [
        (".git/config", True),
        ("deepfake/__pycache__/a.pyc", True),
        ("x.egg-info/PKG-INFO", True),
        (".mypy_cache/3.10/a.json", True),
        ("weights/final_111", True),
        ("deepfake/datasets/data_root.py", False),
        ("training/weights.py", False),
    ],
)
def test_dockerignore(project_root, name, ignored):
    patterns = (project_root / ".dockerignore").read_text().splitlines()
    assert any(_ignores(pattern, name) for pattern in patterns if pattern and pattern[0] != "#") == ignored


def test_the_run_steps_are_valid_bash(instructions):
    for arguments in _all(instructions, "RUN"):
        checked = subprocess.run(["bash", "-n", "-c", arguments], capture_output=True, text=True)
        assert checked.returncode == 0, checked.stderr


def test_what_the_recipe_no_longer_needs_is_gone(instructions):
    text = " ".join(rest for _, rest in instructions).lower()
    assert not [name for name in ("apex", "dlib", "ffmpeg", "miniconda", "libgl1") if name in text]


def test_shell_scripts_can_be_run(project_root):
    for script in project_root.glob("*.sh"):
        assert subprocess.run(["bash", "-n", script]).returncode == 0

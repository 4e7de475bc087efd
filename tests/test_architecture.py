"""docs/architecture.md names every file of the project where it is, with what it holds, and nothing else."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
INDENT = 2

NOT_LISTED = re.compile(r"\.ci/|(tests|docs)/|(.*/)?(__init__\.py|\.gitignore|\.dockerignore)$")


def listed(page: str) -> dict[str, str]:
    """Path -> what the page says of it; a folder's path ends in a slash."""
    found: dict[str, str] = {}
    above: list[str] = []
    for line in re.findall(r"```text\n(.*?)```", page, re.DOTALL)[0].splitlines():
        spaces, name, says = re.fullmatch(r"( *)(\S+)\s*(.*)", line).groups()
        del above[len(spaces) // INDENT :]
        path = "".join(above) + name
        assert path not in found, f"{path} is listed twice"
        found[path] = says
        if name.endswith("/"):
            above.append(name)
    return found


def tracked() -> set[str]:
    """The files that the page must name, and the folders that hold them."""
    out = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = [name for name in out.splitlines() if not NOT_LISTED.match(name)]
    folders = {f"{folder}/" for name in files for folder in list(Path(name).parents)[:-1]}
    return {*files, *folders, "tests/", "docs/"}


def test_every_file_is_listed_where_it_is():
    assert tracked() - set(listed(PAGE)) == set()


def test_nothing_else_is_listed():
    assert set(listed(PAGE)) - tracked() == set()


def test_each_file_and_folder_is_explained():
    assert [path for path, says in listed(PAGE).items() if not says] == []


def test_a_file_in_another_folder_is_noticed():
    page = "```text\na/  the one\n  b.py  text\nc/  the other\n```"
    assert listed(page) == {"a/": "the one", "a/b.py": "text", "c/": "the other"}

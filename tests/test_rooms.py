"""Imports point one way: walks the syntax trees and enforces the table of rooms.

    deepfake       imports no other room; neither parses arguments nor prints nor exits
    preprocessing  deepfake; of its own only `step` and `works`, never a sibling step
    training       deepfake
    kernel_utils   deepfake
    programs       any room but training and preprocessing
    serving        deepfake
    export         deepfake, kernel_utils, serving
    visualize      deepfake, kernel_utils, serving
    federated      training, deepfake

Heavy optional libraries are imported inside of functions only, but for the two classes that Substra loads itself.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOMS = ("deepfake", "preprocessing", "training", "serving", "export", "visualize", "federated", "bench")
PROGRAMS = "programs"

MAY_IMPORT = {
    "deepfake": {"deepfake"},
    "preprocessing": {"deepfake", "preprocessing.pipeline.work", "preprocessing.pipeline.works"},
    "training": {"deepfake", "training"},
    "kernel_utils": {"deepfake"},
    PROGRAMS: {"deepfake", "kernel_utils", "serving", "export", "visualize", "federated"},
    "serving": {"deepfake", "serving"},
    "export": {"deepfake", "kernel_utils", "serving", "export"},
    "visualize": {"deepfake", "kernel_utils", "serving", "visualize"},
    "federated": {"deepfake", "training", "federated"},
    "bench": {*ROOMS, "kernel_utils"},
}

HEAVY = {
    *("onnx", "onnxruntime", "onnxscript", "openvino", "tensorrt", "tritonclient", "pytriton"),
    *("substra", "substrafl", "substratools", "ray", "dask", "distributed", "gradio", "uvicorn", "pytorch_grad_cam"),
    *("fsspec", "s3fs", "aiohttp", "webdataset", "moto"),
}

MUST_SUBCLASS = {"federated/owner/opener.py": "substratools", "federated/owner/algorithm.py": "substrafl"}

FORBIDDEN_NAMES = {"utils.py", "helpers.py"}


def source_files(root: Path) -> list[Path]:
    """The project's modules, without tests."""
    return sorted([*root.glob("*.py"), *(path for room in ROOMS for path in (root / room).rglob("*.py"))])


def room_of(path: Path, root: Path) -> str:
    """The row of the table that a file belongs to."""
    relative = path.relative_to(root)
    if len(relative.parts) > 1:
        return relative.parts[0]
    return "kernel_utils" if relative.stem == "kernel_utils" else PROGRAMS


def imports(tree: ast.AST) -> Iterator[tuple[int, str, bool]]:
    """(line, dotted name, whether inside of a function) of each import; `from a import b` gives a.b.

    What a type checker alone reads (`if TYPE_CHECKING:`) is no import.
    """

    def walk(node: ast.AST, lazy: bool) -> Iterator[tuple[int, str, bool]]:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, lazy) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{'.' * node.level}{node.module or ''}.{a.name}", lazy) for a in node.names)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for child in node.orelse:
                yield from walk(child, lazy)
        else:
            inside = lazy or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            for child in ast.iter_child_nodes(node):
                yield from walk(child, inside)

    yield from walk(tree, False)


def violations(root: Path) -> list[str]:
    """What in the project breaks the rules: `file:line: reason`."""
    found = []
    files = source_files(root)
    own = {*ROOMS, "tests", *(path.stem for path in root.glob("*.py"))}
    for path in files:
        name = path.relative_to(root)
        if path.name in FORBIDDEN_NAMES:
            found.append(f"{name}:1: name the concept instead")
        room = room_of(path, root)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for line, target, lazy in imports(tree):
            if target.split(".")[0] != MUST_SUBCLASS.get(name.as_posix()):
                found += [f"{name}:{line}: {reason}" for reason in _import_faults(room, target, lazy, own)]
        if room == "deepfake":
            found += [f"{name}:{line}: {reason}" for line, reason in _library_faults(tree)]
    return found


def _import_faults(room: str, target: str, lazy: bool, own: set[str]) -> Iterator[str]:
    top = target.split(".")[0]
    if target.startswith("."):
        yield f"relative import {target}: write the room's name"
    elif top in own:
        allowed = MAY_IMPORT[room]
        if not any(target == name or target.startswith(f"{name}.") for name in allowed):
            yield f"{room} may not import {target}"
    elif top in HEAVY and not lazy:
        yield f"{target} is heavy and optional: import it at the place of use"


def _library_faults(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for line, target, _ in imports(tree):
        if target.split(".")[0] == "argparse":
            yield line, "the library parses no arguments"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "sys.exit", "exit", "quit"):
            yield node.lineno, f"the library does not {ast.unparse(node.func)}"


def test_the_rooms_keep_to_the_table(project_root):
    assert len(source_files(project_root)) > 20
    assert violations(project_root) == []


@pytest.mark.parametrize(
    "file, code, fault",
    [
        ("deepfake/a.py", "import training.engine.trainer", "deepfake may not import training.engine.trainer"),
        ("deepfake/a.py", "from kernel_utils import VideoReader", "may not import kernel_utils.VideoReader"),
        ("deepfake/a/b.py", "def f():\n    import preprocessing", "may not import preprocessing"),
        ("deepfake/a.py", "from . import paths", "relative import"),
        ("deepfake/a.py", "print('x')", "does not print"),
        ("deepfake/a.py", "import sys\nsys.exit(1)", "does not sys.exit"),
        ("deepfake/a.py", "import argparse", "parses no arguments"),
        ("deepfake/utils.py", "", "name the concept"),
        ("deepfake/a.py", "import onnxruntime", "heavy and optional"),
        ("preprocessing/a.py", "from preprocessing.extract_crops import crop_video", "preprocessing may not import"),
        ("preprocessing/a.py", "from training import engine", "preprocessing may not import"),
        ("training/a.py", "import preprocessing.pipeline.work", "training may not import"),
        ("kernel_utils.py", "import export.onnx_runtime", "kernel_utils may not import"),
        ("kernel_utils.py", "from training import engine", "kernel_utils may not import"),
        ("predict_folder.py", "from training.engine.trainer import train", "programs may not import"),
        ("plot_loss.py", "import preprocessing.pipeline.work", "programs may not import"),
        ("export/a.py", "import training", "export may not import"),
        ("visualize/a.py", "import export", "visualize may not import"),
        ("federated/a.py", "import kernel_utils", "federated may not import"),
        ("bench/a.py", "import tests.data.clips", "bench may not import"),
    ],
)
def test_what_breaks_a_rule_is_found(tmp_path, file, code, fault):
    for name in ("kernel_utils.py", file):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / file).write_text(code)
    found = violations(tmp_path)
    assert len(found) == 1 and fault in found[0] and found[0].startswith(f"{file}:")


@pytest.mark.parametrize(
    "file, code",
    [
        ("deepfake/a.py", "from deepfake.datasets.layout import DataRoot\ndef f():\n    import onnxruntime"),
        ("deepfake/a.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import onnx"),
        ("preprocessing/a.py", "from preprocessing.pipeline.work import run_main\nimport deepfake.faces.boxes"),
        ("preprocessing/a.py", "print('done')"),
        ("kernel_utils.py", "def f():\n    from deepfake.backends.exported import load"),
        ("predict_folder.py", "import kernel_utils"),
        ("federated/a.py", "from training.engine.trainer import train"),
    ],
)
def test_what_keeps_the_rules_passes(tmp_path, file, code):
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(code)
    assert violations(tmp_path) == []

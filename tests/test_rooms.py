"""The table of rooms and wings: imports point one way, in no circle, and each rule of the house holds.

Reads syntax trees, so that imports inside of functions count too.

    deepfake       imports no other room; its wings stand on each other as WINGS says
    preprocessing  deepfake; of its own only `pipeline`, never a sibling step; inside of functions, visualize's page of
                   a data set
    training       deepfake
    kernel_utils   deepfake; only notebooks and tests import it
    serving        deepfake, visualize
    export         deepfake, serving
    visualize      deepfake
    federated      training, deepfake
    programs       any room but preprocessing
    bench          all rooms

Heavy optional libraries are imported inside of functions only, but for the two classes that Substra loads itself.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOMS = ("deepfake", "preprocessing", "training", "serving", "export", "visualize", "federated", "bench")
PROGRAMS = "programs"

MAY_IMPORT = {
    "deepfake": {"deepfake"},
    "preprocessing": {"deepfake", "preprocessing.pipeline"},
    "training": {"deepfake", "training"},
    "kernel_utils": {"deepfake"},
    PROGRAMS: {"deepfake", "serving", "export", "training", "visualize", "federated"},
    "serving": {"deepfake", "serving", "visualize"},
    "export": {"deepfake", "export", "serving"},
    "visualize": {"deepfake", "visualize"},
    "federated": {"deepfake", "training", "federated"},
    "bench": {*ROOMS},
}

MAY_IMPORT_LAZILY = {"visualize": {"training"}, "preprocessing": {"visualize.dataset.description_page"}}

ROOT_MODULES = {"__init__", "version", "published", "losslog"}
"""The modules of the library that stand in no wing."""

WINGS = {
    "storage": set(),
    "models": {"storage"},
    "media": {"storage"},
    "parallel": {"storage", "version"},
    "faces": {"media", "parallel", "models", "storage", "published"},
    "checkpoints": {"faces", "models", "media", "parallel", "storage", "published"},
    "datasets": {"faces", "media", "parallel", "storage", "version"},
    "synthesis": {"faces", "media", "storage"},
    "scoring": {"datasets.labels", "faces", "media", "storage"},
    "backends": {"checkpoints", "models", "media", "parallel", "storage"},
    "prediction": {
        *("storage", "models", "media", "parallel", "faces", "checkpoints", "datasets", "synthesis", "scoring"),
        *("backends", "published", "version"),
    },
    "evaluation": {
        *("storage", "models", "media", "parallel", "faces", "checkpoints", "datasets", "synthesis", "scoring"),
        *("backends", "prediction", "published", "version"),
    },
    "cli": {
        *("storage", "models", "media", "parallel", "faces", "checkpoints", "datasets", "synthesis", "scoring"),
        *("backends", "prediction", "published", "version"),
    },
}
"""From the bottom to the top: what each wing of the library may import of it, beside itself."""

ROOT_MAY_IMPORT = {"__init__": set(), "version": set(), "published": {"storage"}, "losslog": {"storage"}}

HEAVY = {
    *("onnx", "onnxruntime", "onnxscript", "openvino", "tensorrt", "tritonclient", "pytriton"),
    *("substra", "substrafl", "substratools", "ray", "dask", "distributed", "gradio", "uvicorn", "pytorch_grad_cam"),
    *("fsspec", "s3fs", "aiohttp", "webdataset", "moto"),
}

MUST_SUBCLASS = {"federated/owner/opener.py": "substratools", "federated/owner/algorithm.py": "substrafl"}

FORBIDDEN_NAMES = {"utils.py", "helpers.py"}
LONGEST_FUNCTION = 60
"""Lines, its signature and docstring included."""


def source_files(root: Path) -> list[Path]:
    """The project's modules, without tests."""
    return sorted([*root.glob("*.py"), *(path for room in ROOMS for path in (root / room).rglob("*.py"))])


def module_name(path: Path, root: Path) -> str:
    """The dotted name under which a file is imported."""
    name = ".".join(path.relative_to(root).with_suffix("").parts)
    return name.removesuffix(".__init__")


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
    own = {*ROOMS, "tests", *(path.stem for path in root.glob("*.py"))}
    for path in source_files(root):
        name = path.relative_to(root)
        if path.name in FORBIDDEN_NAMES:
            found.append(f"{name}:1: name the concept instead")
        room = room_of(path, root)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for line, target, lazy in imports(tree):
            if target.split(".")[0] != MUST_SUBCLASS.get(name.as_posix()):
                found += [f"{name}:{line}: {reason}" for reason in _import_faults(room, target, lazy, own)]
        if room == "deepfake":
            found += [f"{name}:{line}: {reason}" for line, reason in _library_faults(tree, name)]
        found += [f"{name}:{line}: {reason}" for line, reason in _length_faults(tree)]
    return found


def _import_faults(room: str, target: str, lazy: bool, own: set[str]) -> Iterator[str]:
    top = target.split(".")[0]
    if target.startswith("."):
        yield f"relative import {target}: write the room's name"
    elif top in own:
        if not _is_below(target, MAY_IMPORT[room] | (MAY_IMPORT_LAZILY.get(room, set()) if lazy else set())):
            yield f"{room} may not import {target}"
    elif top in HEAVY and not lazy:
        yield f"{target} is heavy and optional: import it at the place of use"


def _is_below(target: str, names: set[str]) -> bool:
    return any(target == name or target.startswith(f"{name}.") for name in names)


def _library_faults(tree: ast.AST, name: Path) -> Iterator[tuple[int, str]]:
    wing = name.parts[1] if len(name.parts) > 2 else name.stem
    allowed = WINGS.get(wing, ROOT_MAY_IMPORT.get(wing))
    if allowed is None or (len(name.parts) == 2 and wing not in ROOT_MODULES):
        yield 1, "stands in no wing of the library"
        return
    for line, target, _ in imports(tree):
        if target.split(".")[0] == "argparse" and wing != "cli":
            yield line, "the library parses no arguments"
        of_library = target.removeprefix("deepfake.")
        if of_library != target and not _is_below(of_library, {wing, *allowed}):
            yield line, f"{wing} may not import {target}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "sys.exit", "exit", "quit"):
            yield node.lineno, f"the library does not {ast.unparse(node.func)}"


def _length_faults(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > LONGEST_FUNCTION:
                yield node.lineno, f"{node.name} has {lines} lines; at most {LONGEST_FUNCTION} can be read in one look"


def module_imports(root: Path) -> dict[str, set[str]]:
    """Module -> the project's modules that it imports, lazily or not."""
    files = {module_name(path, root): path for path in source_files(root)}
    found: dict[str, set[str]] = {}
    for module, path in files.items():
        targets = [target for _, target, _ in imports(ast.parse(path.read_text(encoding="utf-8")))]
        modules = {target if target in files else target.rpartition(".")[0] for target in targets}
        found[module] = (modules & files.keys()) - {module}
    return found


def room_imports(modules: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Room -> the rooms that it imports; each program is a room of its own, bench is left out."""
    found: dict[str, set[str]] = {}
    for module, targets in modules.items():
        room = module.split(".")[0]
        if room != "bench":
            found.setdefault(room, set()).update({target.split(".")[0] for target in targets} - {room})
    return found


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of names that reach each other, by repeatedly removing what imports nothing that is left."""
    left = {name: set(targets) & graph.keys() for name, targets in graph.items()}
    while leaves := [name for name, targets in left.items() if not targets & left.keys()]:
        for name in leaves:
            del left[name]
    while users := [name for name in left if not any(name in targets for other, targets in left.items())]:
        for name in users:
            del left[name]
    return [sorted(left)] if left else []


def test_the_rooms_keep_to_the_table(project_root):
    assert len(source_files(project_root)) > 20
    assert violations(project_root) == []


def test_no_circle_between_files(project_root):
    assert circles(module_imports(project_root)) == []


def test_no_circle_between_rooms(project_root):
    assert circles(room_imports(module_imports(project_root))) == []


def test_the_wings_stand_on_each_other():
    order = list(WINGS)
    for at, (wing, allowed) in enumerate(WINGS.items()):
        below = {*order[:at], *ROOT_MODULES}
        assert {name.split(".")[0] for name in allowed} <= below, f"{wing} imports upwards"


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "e": set()}) == [["a", "b", "c"]]
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_lazy_imports_count_in_circles(tmp_path):
    for name, code in {"a": "def f():\n    from training.b import x", "b": "import training.a"}.items():
        (tmp_path / "training").mkdir(exist_ok=True)
        (tmp_path / "training" / f"{name}.py").write_text(code)
    assert circles(module_imports(tmp_path)) == [["training.a", "training.b"]]


@pytest.mark.parametrize(
    "file, code, fault",
    [
        ("deepfake/media/a.py", "import training.engine", "deepfake may not import training.engine"),
        ("deepfake/media/a.py", "from kernel_utils import VideoReader", "may not import kernel_utils.VideoReader"),
        ("deepfake/media/a/b.py", "def f():\n    import preprocessing", "may not import preprocessing"),
        ("deepfake/media/a.py", "from . import paths", "relative import"),
        ("deepfake/media/a.py", "print('x')", "does not print"),
        ("deepfake/media/a.py", "import sys\nsys.exit(1)", "does not sys.exit"),
        ("deepfake/media/a.py", "import argparse", "parses no arguments"),
        ("deepfake/media/utils.py", "", "name the concept"),
        ("deepfake/media/a.py", "import onnxruntime", "heavy and optional"),
        ("deepfake/media/a.py", "import deepfake.faces.boxes", "media may not import deepfake.faces.boxes"),
        ("deepfake/storage/a.py", "def f():\n    from deepfake.media import video", "storage may not import"),
        ("deepfake/scoring/a.py", "from deepfake.datasets.folds import x", "scoring may not import"),
        ("deepfake/prediction/a.py", "from deepfake.cli.commandline import x", "prediction may not import"),
        ("deepfake/a.py", "", "stands in no wing"),
        ("deepfake/annexe/a.py", "", "stands in no wing"),
        ("preprocessing/a.py", "from preprocessing.extract_crops import crop_video", "preprocessing may not import"),
        ("preprocessing/a.py", "from training import engine", "preprocessing may not import"),
        ("preprocessing/a.py", "from visualize.dataset.description_page import x", "preprocessing may not import"),
        ("preprocessing/a.py", "def f():\n    from visualize.page import x", "preprocessing may not import"),
        ("training/a.py", "import preprocessing.pipeline", "training may not import"),
        ("training/a.py", "def f():\n" + "    x = 1\n" * LONGEST_FUNCTION, "f has 61 lines"),
        ("kernel_utils.py", "import export.graph", "kernel_utils may not import"),
        ("kernel_utils.py", "from training import engine", "kernel_utils may not import"),
        ("plot_loss.py", "import preprocessing.pipeline", "programs may not import"),
        ("export/a.py", "import training", "export may not import"),
        ("visualize/a.py", "import export", "visualize may not import"),
        ("visualize/a.py", "import training.config", "visualize may not import"),
        ("federated/a.py", "import kernel_utils", "federated may not import"),
        ("predict_folder.py", "import kernel_utils", "programs may not import"),
        ("bench/a.py", "from kernel_utils import VideoReader", "bench may not import"),
        ("bench/a.py", "import tests.clips", "bench may not import"),
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
        ("deepfake/media/a.py", "from deepfake.storage.names import fit\ndef f():\n    import onnxruntime"),
        ("deepfake/media/a.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import onnx"),
        ("deepfake/cli/a.py", "import argparse\nfrom deepfake.prediction.ensemble import Member"),
        ("deepfake/scoring/a.py", "from deepfake.datasets.labels import Label"),
        ("preprocessing/a.py", "from preprocessing.pipeline.work import run_main\nimport deepfake.faces.boxes"),
        ("preprocessing/a.py", "print('done')"),
        ("kernel_utils.py", "def f():\n    from deepfake.prediction.loading import load_models"),
        ("visualize/a.py", "def f():\n    from training.config import read_config"),
        ("preprocessing/a.py", "def f():\n    from visualize.dataset.description_page import x"),
        ("federated/a.py", "from training.engine.trainer import train"),
    ],
)
def test_what_keeps_the_rules_passes(tmp_path, file, code):
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(code)
    assert violations(tmp_path) == []


def test_nobody_is_told(project_root):
    """The word hides who does what to whom; see the words of the project's style."""
    files = [*source_files(project_root), *project_root.glob("*.sh"), *project_root.glob("visualize/templates/*.html")]
    assert [path.name for path in files if re.search(r"\btold\b", path.read_text(encoding="utf-8"))] == []

"""A wheel holds the library alone, and works without a checkout."""

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

USE = """
import sys
from pathlib import Path

import deepfake
from deepfake.prediction.ensemble import listed_ensembles, named_ensemble
from deepfake.prediction.loading import load_predictor

assert Path(sys.prefix) in Path(deepfake.__file__).parents
for name in ("app", "bench", "export", "preprocessing", "tests", "training"):
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    raise AssertionError(f"{name} can be imported")
print(*[file.stem for file in listed_ensembles()], len(named_ensemble("both", Path("weights"))))
print(callable(load_predictor))
"""


def run(*command: object, cwd: Path) -> str:
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def tracked(project_root) -> list[str]:
    return run("git", "ls-files", cwd=project_root).splitlines()


@pytest.fixture(scope="module")
def wheel(project_root, tracked, tmp_path_factory) -> Path:
    """Built from a copy: setuptools leaves its files beside the source."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in tracked:
        if (project_root / name).exists():  # it may have been removed and not committed yet
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(project_root / name, folder / "source" / name, follow_symlinks=False)
    offline = ("--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check")
    run(sys.executable, "-m", "pip", "wheel", *offline, "--wheel-dir", folder, folder / "source", cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory) -> Path:
    """The interpreter of a fresh environment with the wheel; what it depends on is the tests' own."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    python = folder / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # A folder that a .pth file names is searched, but its own .pth files, one of them the checkout's, are not read.
    (site / "dependencies.pth").write_text("\n".join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}))
    return python


def test_it_holds_the_library_with_its_ensembles_and_nothing_else(wheel, tracked):
    names = [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name]
    assert {name.split("/")[0] for name in names} == {"deepfake"}
    library = {name for name in tracked if name.startswith("deepfake/") and name.endswith(".py")}
    ensembles = {f"deepfake/prediction/ensembles/{name}.json" for name in ("both", "first_place", "second_place")}
    assert {name for name in names if not name.endswith(".so")} == library | ensembles


def test_it_works_in_a_fresh_environment_without_a_checkout(python, tmp_path):
    assert run(python, "-I", "-c", USE, cwd=tmp_path).splitlines() == ["both first_place second_place 10", "True"]

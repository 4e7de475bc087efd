"""A wheel holds the library alone, and works without a checkout."""

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.data.clips import draw, gradient
from tests.data.predicting import tiny_checkpoint

pytestmark = pytest.mark.slow

USE = """
import importlib.util
import sys
from pathlib import Path

import deepfake
from deepfake.prediction import load_predictor
from deepfake.prediction.ensemble import listed_ensembles, named_ensemble

assert Path(sys.prefix) in Path(deepfake.__file__).parents
rooms = ("app", "bench", "export", "preprocessing", "tests", "training")
assert not [name for name in rooms if importlib.util.find_spec(name)]
print(*[file.stem for file in listed_ensembles()], len(named_ensemble("both", Path("weights"))))
print(load_predictor(sys.argv[1], device="cpu").predict(sys.argv[2]).status)
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
    assert set(names) == library | ensembles


def test_it_works_in_a_fresh_environment_without_a_checkout(python, tmp_path):
    checkpoint, clip = tiny_checkpoint(tmp_path / "tiny"), tmp_path / "faceless.mp4"
    draw(clip, gradient(3))
    ensembles, status = run(python, "-I", "-c", USE, checkpoint, clip, cwd=tmp_path).splitlines()
    assert ensembles == "both first_place second_place 10"
    assert status == "no_face"

"""Fixtures that several rooms' tests share."""

import deepfake.parallel.idle_threads

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from deepfake.cli.commandline import run_guarded
from deepfake.media.images import write_image
from deepfake.synthesis.portraits import PERSONS, read_portrait
from tests.data.clips import cut, draw, gradient
from tests.data.dataset_trees import Write

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
REQUIRE_SHARED = "DEEPFAKE_REQUIRE_SHARED"

# No deadline: a busy machine is no failure. The same examples in every run: a change fails by its own fault.
settings.register_profile("project", deadline=None, derandomize=True)
settings.load_profile("project")


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The repository's root: where the README's commands run."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data beside the checkout; skips without it, fails if the environment demands it."""
    if not SHARED.is_dir():
        if os.environ.get(REQUIRE_SHARED) == "1":
            pytest.fail(f"{SHARED} is missing and {REQUIRE_SHARED}=1")
        pytest.skip(f"no reference data at {SHARED.name}/ beside the checkout")
    return SHARED


@pytest.fixture(scope="session")
def mini_dfdc(shared: Path) -> Path:
    """17 real clips in DFDC layout, read-only."""
    return shared / "mini_dfdc"


@pytest.fixture(scope="session")
def reference(shared: Path):
    """`reference("boxes")`: what the published code computed, by the name of the JSON file."""
    return lambda name: json.loads((shared / "reference" / f"{name}.json").read_text())


@pytest.fixture(scope="session")
def reference_checkpoint(shared: Path) -> Path:
    """A small checkpoint in the published layout whose scores spread over 0..1."""
    return shared / "reference" / "reference_DeepFakeClassifier_tf_efficientnet_b2_ns_0_last"


@pytest.fixture(scope="session")
def built(shared, project_root, tmp_path_factory):
    """`built(case)`: the folder of the files of one of the reference data's awkward cases."""
    if shutil.which("ffmpeg") is None:
        missing = pytest.fail if os.environ.get(REQUIRE_SHARED) == "1" else pytest.skip
        missing("the cases are built with ffmpeg (Debian and Ubuntu: apt install ffmpeg)")
    folder = tmp_path_factory.mktemp("cases")

    def build(case: str) -> Path:
        given = {"CASES_OUT": str(folder), "PYTHON": sys.executable, "PROJECT": str(project_root)}
        script = shared / "cases" / case / "make.sh"
        # A codec that this ffmpeg lacks leaves an empty file; the others are built all the same.
        subprocess.run(["bash", script], env={**os.environ, **given}, capture_output=True, check=False)
        return folder / case / "out"

    return build


@pytest.fixture(scope="session")
def face_clips(mini_dfdc: Path, tmp_path_factory) -> Path:
    """Of a real clip with one face: a.mp4 and b.mp4, a face in each, faceless.mp4, and broken.mp4, no video."""
    folder = tmp_path_factory.mktemp("face_clips")
    source = mini_dfdc / "dfdc_train_part_1" / "d0.mp4"
    cut(source, folder / "a.mp4", 6)
    cut(source, folder / "b.mp4", 3)
    draw(folder / "faceless.mp4", gradient(3))
    (folder / "broken.mp4").write_bytes((folder / "a.mp4").read_bytes()[:500])
    return folder


@pytest.fixture(scope="session")
def write_faces(tmp_path_factory) -> Write:
    """Writes a clip of two frames or a picture (`.png`): a real face, or for label 1 the same in other colors."""
    folder = tmp_path_factory.mktemp("faces")
    for label, color in enumerate((1.0, 0.8)):
        picture = (read_portrait(PERSONS[0])[:256, 96:352] * color).astype(np.uint8)
        draw(folder / f"{label}.mp4", np.stack([picture] * 2))
        write_image(folder / f"{label}.png", picture)

    def write(path: Path, label: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / f"{label}{path.suffix}", path)

    return write


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """A small network with random weights, ready to score."""
    from deepfake.prediction.ensemble import Member
    from deepfake.prediction.loading import load_models
    from tests.data.predicting import tiny_checkpoint

    (model,) = load_models([Member(tiny_checkpoint(tmp_path_factory.mktemp("tiny_model") / "tiny"))])
    return model


@pytest.fixture
def run_main(monkeypatch, capfd):
    """`run_main(main, argument, ...)`: in this process, the command's exit code, output and errors."""

    def call(main, *arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
        try:
            code = run_guarded(main, sys.stderr.write)
        except SystemExit as ended:  # argparse's own
            code = ended.code
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return call


@pytest.fixture(scope="module")
def one_thread():
    """Threads that wait for each other are slow where other processes work too."""
    import torch  # takes seconds; many tests need none

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)

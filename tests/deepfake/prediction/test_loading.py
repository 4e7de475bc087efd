"""Loading an ensemble from Python, as the README shows."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import deepfake.prediction
from deepfake.prediction import load_predictor
from deepfake.prediction.ensemble import Member
from deepfake.published import WeightsError
from tests.data.predicting import tiny_checkpoint

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def here(tmp_path, monkeypatch, face_clips):
    """A folder with what the README names: weights/MODEL_A, clip.mp4, videos/."""
    tiny_checkpoint(tmp_path / "weights" / "MODEL_A")
    (tmp_path / "clip.mp4").symlink_to(face_clips / "b.mp4")
    (tmp_path / "videos").mkdir()
    for name in ("b.mp4", "faceless.mp4", "broken.mp4"):
        (tmp_path / "videos" / name).symlink_to(face_clips / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_lines_of_the_readme_score_a_video_and_continue_a_run(here, project_root, capsys):
    section = (project_root / "README.md").read_text(encoding="utf-8").split("### From Python\n")[1].split("\n### ")[0]
    one, many = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    names: dict = {}
    exec(one, names)
    result = names["result"]
    assert (result.status, len(result.frames), len(result.faces)) == ("ok", 3, 3) and 0 < result.score < 1
    first, *faces = capsys.readouterr().out.splitlines()
    assert first == f"ok {result.score} []" and [line.split()[0] for line in faces] == ["0", "1", "2"]
    exec(many, names)
    lines = capsys.readouterr().out.splitlines()
    assert sorted(lines) == ["3 videos", f"b.mp4 {result.score}", "broken.mp4 None", "faceless.mp4 None"]
    exec(many, names)
    assert capsys.readouterr().out == "3 videos\n", "all are done"


def test_several_checkpoints_score_together(here):
    other = tiny_checkpoint(here / "weights" / "other", seed=1)
    both = load_predictor(["weights/MODEL_A", other], device="cpu", precision="float32").predict(Path("clip.mp4"))
    each = [
        load_predictor(models, device="cpu", precision="float32").predict("clip.mp4").score
        for models in (Path("weights/MODEL_A"), [Member(other)])
    ]
    assert both.model_scores == dict(zip(("MODEL_A", "other"), each))
    assert both.score == pytest.approx(sum(each) / 2)


def test_a_checkpoint_that_is_missing_is_named():
    with pytest.raises(WeightsError, match="weights/nowhere: no such checkpoint"):
        load_predictor("weights/nowhere")
    with pytest.raises(
        WeightsError, match=r"elsewhere/xception-hg-2\.pth.*: no such checkpoint; second place's are on"
    ):
        load_predictor("second_place", weights_dir="elsewhere")


def test_other_modules_of_the_wing_need_no_torch():
    """The options of commands are made of them: `--help` does not wait for torch."""
    code = (
        "import sys, deepfake.prediction, deepfake.prediction.ensemble; assert 'torch' not in sys.modules; "
        "from deepfake.prediction import load_predictor; assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_wing_hands_on_no_other_name():
    with pytest.raises(AttributeError, match="no attribute 'load_model'"):
        deepfake.prediction.load_model  # noqa: B018

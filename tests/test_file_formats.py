"""docs/file_formats.md names what the code writes and reads."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from deepfake.datasets import description
from deepfake.datasets.run_records import Entry, Header
from deepfake.evaluation.comparing import ComparedRun, Comparison
from deepfake.evaluation.evaluating import FRAME_AUC, Cell, EvaluatedVideo, Evaluation
from deepfake.evaluation.recorded import FRAME_KEY, ID_KEYS, SCORE_KEYS
from deepfake.evaluation.reporting import cells_csv, robustness_csv, videos_csv
from deepfake.evaluation.robustness import PerturbedFigures, Robustness
from deepfake.scoring.detection_metrics import METRICS

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "file_formats.md").read_text(encoding="utf-8")
NAMES = set(re.findall(r"`([^`]+)`", PAGE.replace("```text", "").replace("```", "").replace("\n", " ")))

EMPTY = Evaluation("run", {}, [], [], [], [])


@pytest.mark.parametrize(
    "kept",
    [Evaluation, Cell, EvaluatedVideo, Comparison, ComparedRun, Robustness, PerturbedFigures, Header, Entry],
    ids=lambda kept: kept.__name__,
)
def test_each_key_is_explained(kept):
    assert {field.name for field in fields(kept)} <= NAMES


def test_names_that_files_may_have_are_listed():
    for names in (METRICS, [FRAME_AUC], SCORE_KEYS, ID_KEYS, [FRAME_KEY], description.KINDS):
        assert set(names) <= NAMES


def test_headers_are_those_that_are_written():
    headers = {block.strip() for block in re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)}
    written = (cells_csv(EMPTY), videos_csv(EMPTY), robustness_csv(Robustness("run", {}, (0.5, 0.0, 1.0), [])))
    assert headers == {",".join(description.COLUMNS), *(text.splitlines()[0] for text in written)}


def test_modules_are_there():
    modules = {name for name in NAMES if name.endswith(".py") and "/" in name}
    assert modules and all((ROOT / name).is_file() for name in modules)

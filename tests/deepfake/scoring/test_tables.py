"""What the tables of a prediction hold, and that details are read back."""

import csv
import io
import json
import os
from pathlib import Path

import pytest

from deepfake.scoring.results import CRASHED, NO_FACE, OK, VideoResult
from deepfake.scoring.tables import (
    check_outputs,
    list_missing,
    read_details,
    summarize,
    write_details,
    write_submission,
)
from tests.data.results import RESULT, RUN


def test_names_that_are_not_utf8_do_not_lose_the_table(tmp_path):
    name = os.fsdecode(b"caf\xe9.mp4")
    write_submission(tmp_path / "s.csv", {name: RESULT, "a,b.mp4": VideoResult(NO_FACE)})
    table = (tmp_path / "s.csv").read_text(encoding="utf-8")
    assert table == 'filename,label\ncaf\\xe9.mp4,0.300000\n"a,b.mp4",0.500000\n'
    write_details(tmp_path / "d.json", {name: RESULT}, RUN)
    assert json.loads((tmp_path / "d.json").read_text())["videos"][0]["filename"] == name


HOSTILE = ["=1+1.mp4", "+.mp4", "-.mp4", "@a.mp4", "\t=1.mp4", "a\nb.mp4", "\x1b[2J.mp4", os.fsdecode(b"gr\xfc.mp4")]


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_details_give_back_every_name(tmp_path, suffix):
    write_details(tmp_path / f"d.{suffix}", dict.fromkeys(HOSTILE, RESULT), RUN)
    assert list(read_details(tmp_path / f"d.{suffix}").scores) == HOSTILE


def test_tables_hold_neither_formulas_nor_control_characters(tmp_path):
    results = {name: VideoResult(CRASHED, reason=f"={name}") for name in HOSTILE}
    write_submission(tmp_path / "s.csv", results)
    write_details(tmp_path / "d.csv", results, {**RUN, "models": [{"name": "=model"}]})
    for table in ("s.csv", "d.csv"):
        text = (tmp_path / table).read_text(encoding="utf-8")
        assert text.replace("\n", "").isprintable() and text.count("\n") == len(HOSTILE) + 1
        assert not [cell for row in csv.reader(io.StringIO(text)) for cell in row if cell[:1] in tuple("=+-@")]
    lines = list_missing(results)
    assert len(lines) == len(HOSTILE) and all(line[:-1].isprintable() for line in lines)


def test_only_the_submission_has_the_neutral_score(tmp_path):
    results = {"a.mp4": RESULT, "b.mp4": VideoResult(NO_FACE, reason="none")}
    write_details(tmp_path / "d.csv", results, RUN)
    assert (tmp_path / "d.csv").read_text() == (
        "filename,status,score,faces,frames,m,seconds,reason,probability,verdict,doubts\n"
        "a.mp4,ok,0.300000,1,2,0.300000,1.500,,0.300000,uncertain,\n"
        "b.mp4,no_face,,0,0,,0.000,none,,,\n"
    )
    write_details(tmp_path / "d.json", results, RUN)
    assert "0.5" not in (tmp_path / "d.json").read_text().split('"b.mp4"')[1]


def test_the_last_line_counts(tmp_path):
    results = {str(i): VideoResult(CRASHED if i % 3 else NO_FACE, reason="r") for i in range(20)} | {"x": RESULT}
    assert summarize(results, Path("s.csv")) == (
        "21 videos: 1 scored, 20 without a score (13 crashed, 7 no_face; 0.5 in the submission): s.csv"
    )
    lines = list_missing(results)
    assert len(lines) == 11
    assert lines[0] == "  no score: 0: no_face: r\n"
    assert "10 more" in lines[-1]


def test_outputs_are_checked_before_any_work(tmp_path):
    check_outputs(tmp_path / "s.csv", tmp_path / "d.JSON")
    with pytest.raises(ValueError, match=r"\.csv or \.json"):
        check_outputs(tmp_path / "s.csv", tmp_path / "d")
    with pytest.raises(ValueError, match="is a folder"):
        check_outputs(tmp_path, None)


@pytest.mark.parametrize("suffix", [".json", ".csv"])
def test_details_are_read_back(tmp_path, suffix):
    path = tmp_path / f"details{suffix}"
    results = {"größe, 1.mp4": RESULT, "b.mp4": VideoResult(NO_FACE, reason="none"), "1": VideoResult(OK, 0.0)}
    write_details(path, results, RUN)
    found = read_details(path)
    assert found.scores == {"größe, 1.mp4": 0.3, "b.mp4": None, "1": 0.0}
    assert (found.models, found.crop_recipes) == ((RUN["models"], []) if suffix == ".json" else (None, None))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("d.csv", "filename,label\na.mp4,0.5\n", "no column status, score"),
        ("d.csv", "filename,status,score\na.mp4,ok,1.5\n", "'a.mp4' has score '1.5'; expected a number from 0 to 1"),
        ("d.csv", "filename,status,score\na.mp4,ok,nan\n", "'a.mp4' has score 'nan'"),
        ("d.csv", "filename,status,score\na.mp4,ok,high\n", "'a.mp4' has score 'high'"),
        ("d.csv", "filename,status,score\na.mp4,ok,0.1\na.mp4,ok,0.1\n", "'a.mp4' is there twice"),
        ("d.csv", None, "not a table of details"),
        ("d.json", None, "no readable details"),
        ("d.json", "{", "not JSON"),
        ("d.json", "[]", "expected a mapping; found list"),
        ("d.json", '{"a.mp4": {"label": "REAL"}}', "not the details of a prediction"),
        (
            "d.json",
            '{"format": 1, "videos": [{"filename": "a", "score": true}], "models": [], "crop_recipes": []}',
            "videos[0].score: expected a number from 0 to 1, or null; found True",
        ),
        ("d.json", '{"videos": [], "models": 3, "crop_recipes": []}', "models: expected a list; found 3"),
        (
            "d.json",
            '{"videos": [{"filename": "a", "score": 1' + "0" * 400 + "}]}",
            "score: expected a whole number of at most 64 bits",
        ),
        ("d.json", '{"format": 9}', "format: expected 1; found 9"),
        (
            "d.json",
            '{"format": 1, "videos": [{"filename": "a", "score": -1}], "models": [], "crop_recipes": []}',
            "videos[0].score: expected a number from 0 to 1, or null; found -1",
        ),
        ("d.txt", "", "details are written as .csv or .json"),
    ],
)
def test_what_are_no_details_is_reported(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError) as error:
        read_details(path)
    assert str(error.value).startswith(f"{path}: ") and message in str(error.value)

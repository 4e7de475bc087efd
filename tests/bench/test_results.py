"""docs/results.md is what bench/results.py makes of the recorded files, and names a command for each own number."""

import json
import shutil
import sys

import pytest

from bench import results
from deepfake.evaluation.robustness import PerturbedFigures, Robustness, write_robustness


def test_the_page_is_up_to_date():
    assert (results.DOCS / results.PAGE).read_text(encoding="utf-8") == results.results_page(results.DOCS)


def test_own_and_published_figures_stand_apart():
    own, others = results.results_page(results.DOCS).split("## Published by others")
    assert "python evaluate.py" in own and "protocol: dfdc" in own and "SBI" not in own
    assert "arXiv 2204.08376" in others and "evaluate.py" not in others


def test_a_figure_of_an_unknown_set_is_refused(tmp_path):
    shutil.copytree(results.DOCS / "results", tmp_path / "results")
    file = tmp_path / results.PUBLISHED
    content = json.loads(file.read_text())
    content["rows"][0]["figures"]["Elsewhere"] = "99"
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="Elsewhere"):
        results.results_page(tmp_path)


def test_robustness_of_a_recorded_run_is_a_table_with_curves(tmp_path, monkeypatch):
    shutil.copytree(results.DOCS / "results", tmp_path / "results")
    own = tmp_path / results.OWN
    shutil.copy(own / "mini_dfdc_demo_network_dfdc.json", own / "run.json")
    row = PerturbedFigures("GB", "3", (0.5, 0.25, 0.75), (0.125, -1e-9, 0.2), 17)
    write_robustness(own / "run.robustness.json", Robustness("run", {}, (0.625, 0.5, 0.75), [row]))
    monkeypatch.setattr(results, "DOCS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["results.py"])
    assert results.main() == 0
    text = (tmp_path / results.PAGE).read_text().split("### run\n")[1]
    assert "| GB | 3 | 0.5000 [0.250, 0.750] | +0.1250 [+0.000, +0.200] | 17 |" in text
    assert "](results/own/run.robustness.svg)" in text and "run.robustness\n" not in text
    assert (own / "run.robustness.svg").read_bytes().startswith(b"<?xml")

"""docs/results.md is what bench/results.py makes of the recorded files, and names a command for each own number."""

import json
import shutil

import pytest

from bench import results


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

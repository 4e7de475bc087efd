"""A run of networks that is finished is known again."""

from deepfake.evaluation.scoring_runs import earlier_run, is_finished
from deepfake.prediction.precision_check import VIDEOS, PrecisionCheck, with_checks
from deepfake.prediction.run import earlier_check
from deepfake.prediction.scoring_model import OF_FAMILY, describe_run
from deepfake.scoring.results import OK, ScoreCheck, VideoResult
from deepfake.scoring.tables import write_details


def test_a_finished_run_goes_on_in_its_precision(tiny_model, tmp_path):
    check = PrecisionCheck("bf16", VIDEOS, 2, 20, 0.001, 0.002, 0.001, "tiny", kept=True)
    run, details = describe_run([tiny_model], "cpu", check.chosen, check=check), tmp_path / "details.json"
    results = {"a.mp4": VideoResult(OK, 0.5, "", {"tiny": 0.5}, precision_check=ScoreCheck(0.003, True))}
    described = with_checks(run, results)
    assert described != run, "what was found while it went"
    write_details(details, results, described)
    assert earlier_check(earlier_run(details), [tiny_model], "cpu", OF_FAMILY, False) == check
    assert is_finished(details, run, ["a.mp4"])


def test_nothing_is_known_of_other_files(tmp_path):
    (tmp_path / "other.json").write_text("[]")
    (tmp_path / "more.json").write_text('{"models": [], "crop_recipes": [], "settings": {}}')
    assert [earlier_run(tmp_path / f"{name}.json") for name in ("none", "other", "more")] == [None] * 3

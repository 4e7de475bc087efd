"""A run of many videos: stopped, continued, finished."""

import contextlib

import pytest

from deepfake.prediction.loading import build_predictor
from deepfake.prediction.run import PredictionRun
from deepfake.synthesis.perturbations.perturbation import Perturbation
from tests.data.predicting import on_frames

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def videos(face_clips):
    return [face_clips / name for name in ("a.mp4", "b.mp4", "faceless.mp4", "broken.mp4")]


@pytest.fixture
def predictor(tiny_model):
    return build_predictor([on_frames(tiny_model, 2)])


def test_a_stopped_run_is_continued_by_one_of_the_same_kind(predictor, tiny_model, videos, tmp_path):
    output = tmp_path / "scores.csv"
    stopped = PredictionRun(predictor, videos, output)
    with contextlib.closing(stopped.predict()) as stream:
        first = dict(next(stream) for _ in range(2))
    assert stopped.results == first and len(first) == 2

    again = PredictionRun(predictor, videos, output)
    assert again.resume() == 2 and again.results == first
    rest = dict(again.predict())
    assert rest.keys() == set(videos) - first.keys()
    assert {path: r.score for path, r in again.results.items()} == {
        path: r.score for path, r in predictor.predict_all(videos)
    }
    assert PredictionRun(build_predictor([on_frames(tiny_model, 1)]), videos, output).resume() == 0
    again.finish()
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_does_not_resume_starts_over(predictor, videos, tmp_path):
    output = tmp_path / "scores.csv"
    dict(PredictionRun(predictor, videos[:2], output).predict())
    assert dict(PredictionRun(predictor, videos[:2], output).predict()).keys() == set(videos[:2])


def test_results_of_perturbed_videos_are_none_of_the_others(predictor, videos, tmp_path):
    output = tmp_path / "scores.csv"
    noisy = predictor.perturbed(Perturbation("GNC", "5"))
    assert noisy.run["settings"]["perturbation"] == {"name": "GNC", "level": "5", "seed": 777}
    assert "perturbation" not in predictor.run["settings"]
    run = PredictionRun(noisy, videos[:2], output)
    with contextlib.closing(run.predict()) as stream:
        path, perturbed = next(stream)
    clean = predictor.predict(path)
    assert clean.score is not None and perturbed.score != clean.score
    assert PredictionRun(predictor, videos[:2], output).resume() == 0
    PredictionRun(noisy, videos[:2], output).finish()

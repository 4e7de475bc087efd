"""Fewer bits only where the scores stay: what is tried, what is checked, what a continued run computes in."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from deepfake.datasets.run_records import plain
from deepfake.models.precision import AUTO, FLOAT32, REDUCED_TOLERANCE, fastest_precision
from deepfake.prediction import face_stream, precision_choice, precision_trial
from deepfake.prediction.ensemble import Member
from deepfake.prediction.loading import build_predictor, load_models
from deepfake.prediction.precision_check import PrecisionCheck, with_checks
from deepfake.prediction.precision_choice import checked_videos
from deepfake.scoring.results import ScoreCheck, VideoResult
from tests.data.clips import cut
from tests.data.predicting import on_frames

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]


@pytest.fixture
def fast_in_bf16(monkeypatch):
    """A machine that takes bf16 and tries it on two videos; calls of `stream_faces` by what they were given."""
    streamed = []
    monkeypatch.setattr(precision_choice, "fastest_precision", lambda device: "bf16")
    monkeypatch.setattr(precision_trial, "EXAMPLE_VIDEOS", 2)
    find = face_stream.stream_faces

    def record(videos, *more):
        streamed.append([path.name for path in videos])
        return find(videos, *more)

    monkeypatch.setattr(face_stream, "stream_faces", record)
    return streamed


@pytest.fixture(scope="module")
def clips(mini_dfdc, face_clips, tmp_path_factory):
    """The face clips in the order of a run: a.mp4, dark.mp4, b.mp4, faceless.mp4, c.mp4, broken.mp4."""
    folder = tmp_path_factory.mktemp("clips")
    for name in ("a.mp4", "b.mp4", "faceless.mp4", "broken.mp4"):
        (folder / name).symlink_to(face_clips / name)
    (folder / "c.mp4").symlink_to(face_clips / "b.mp4")
    cut(mini_dfdc / "dfdc_train_part_1" / "d0.mp4", folder / "dark.mp4", 3, "-vf", "eq=brightness=-0.3")
    return [folder / f"{name}.mp4" for name in ("a", "dark", "b", "faceless", "c", "broken")]


def scores(results):
    return {path.name: (result.status, result.score) for path, result in results}


def test_bf16_is_tried_on_the_videos_and_their_faces_found_once(clips, tiny_model, fast_in_bf16):
    model = on_frames(tiny_model, 3)
    predictor = build_predictor([model], precision=AUTO, videos=clips)
    assert predictor.check.kept and (predictor.check.videos, predictor.check.faces) == (1, 3)
    settings = predictor.run["settings"]
    assert settings["precision"] == "bf16"
    assert settings["precision_check"]["face_difference"] == predictor.check.face_difference > 0
    found = scores(predictor.predict_all(clips))
    assert fast_in_bf16 == [["a.mp4", "broken.mp4"], ["dark.mp4", "b.mp4", "faceless.mp4", "c.mp4"]]
    assert found == scores(build_predictor([model], precision="bf16").predict_all(clips))
    assert found["broken.mp4"] == ("unreadable", None)
    assert scores(predictor.predict_all(clips)) == found, "a second time all are read again"


@pytest.mark.parametrize("count", [1, 4])
def test_few_videos_are_scored_in_float32_untried(clips, tiny_model, fast_in_bf16, count):
    predictor = build_predictor([on_frames(tiny_model, 3)], precision=AUTO, videos=clips[:count] * 2)
    settings = predictor.run["settings"]
    assert (predictor.check, settings["precision"], settings["precision_check"]) == (None, FLOAT32, None)
    assert fast_in_bf16 == []


def test_a_network_that_loses_its_scores_computes_in_float32(clips, tiny_model, fast_in_bf16):
    rough = replace(on_frames(tiny_model, 3), network=_Off(tiny_model.network, 1).eval())
    predictor = build_predictor([rough], precision=AUTO, videos=clips)
    assert not predictor.check.kept and predictor.run["settings"]["precision"] == FLOAT32
    assert scores(predictor.predict_all(clips)) == scores(build_predictor([rough]).predict_all(clips))


class _Off(nn.Module):
    """A network whose logit is off by so much in bf16, everywhere or in dark pictures alone."""

    def __init__(self, network: nn.Module, off: float, brightness: float = np.inf) -> None:
        super().__init__()
        self.network = network
        self.conv = nn.Conv2d(3, 1, 1)
        self.off, self.brightness = off, brightness

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        is_off = (self.conv(x).dtype == torch.bfloat16) & (x.float().mean((1, 2, 3)) < self.brightness)
        return torch.where(is_off[:, None], self.network(x) + self.off, self.network(x))


@pytest.fixture
def off_in_the_dark(tiny_model, monkeypatch):
    """A model whose trial goes well and whose bf16 does not; every other video is checked."""
    monkeypatch.setattr(precision_choice, "CHECK_EVERY", 2)
    return lambda off: replace(on_frames(tiny_model, 3), network=_Off(tiny_model.network, off, -1.2).eval())


def test_a_video_that_a_check_finds_off_has_its_score_in_float32(
    clips, off_in_the_dark, fast_in_bf16, caplog, tmp_path
):
    model = off_in_the_dark(1.0)
    predictor = build_predictor([model], precision=AUTO, videos=clips[:5])
    assert predictor.check.kept
    results = dict(predictor.predict_all(clips[:5]))
    exact = dict(build_predictor([model]).predict_all(clips[:5]))
    reduced = dict(build_predictor([model], precision="bf16").predict_all(clips[:5]))
    dark, faceless = clips[1], clips[3]
    assert {path.name: result.precision_check is not None for path, result in results.items() if result.score} == {
        path.name: path == dark for path in clips[:5] if path != faceless
    }
    assert results[dark].score == exact[dark].score and results[dark].faces == exact[dark].faces
    off = abs(reduced[dark].score - exact[dark].score)
    assert results[dark].precision_check == ScoreCheck(pytest.approx(off), False) and off > REDUCED_TOLERANCE
    assert all(results[path].score == reduced[path].score for path in clips[:5] if path != dark)
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith(f"dark.mp4: its score in bf16 is off by {off:.2g}") and "--precision float32" in message
    check = with_checks(predictor.run, {path.name: result for path, result in results.items()})["settings"]
    found = PrecisionCheck(**check["precision_check"])
    assert (found.checked, found.replaced, found.farthest) == (1, 1, "dark.mp4")
    assert found.checked_difference == pytest.approx(off)
    assert predictor.run["settings"]["precision_check"]["checked"] == 0, "the journal's does not change"
    again = VideoResult.from_dict(json.loads(json.dumps(results[dark].to_dict())))
    assert again == results[dark], "a continued run knows"


def test_checks_depend_on_the_list_alone_and_keep_scores_within_the_limit(clips, off_in_the_dark, fast_in_bf16, caplog):
    model = off_in_the_dark(0.01)
    run = build_predictor([model], precision=AUTO, videos=clips[:5], workers=2)
    begun = plain(run.run)
    for order in (clips[:5], clips[4::-1], clips[1:2]):
        predictor = build_predictor([model], precision=AUTO, videos=clips[:5], begun=begun)
        results = dict(predictor.predict_all(order))
        assert [path for path, result in results.items() if result.precision_check] == [clips[1]]
        check = results[clips[1]].precision_check
        assert check.kept and 0 < check.difference < REDUCED_TOLERANCE
        assert results[clips[1]].score == build_predictor([model], precision="bf16").predict(clips[1]).score
    assert caplog.records == []


def test_a_video_without_a_number_in_bf16_is_scored_in_float32(clips, off_in_the_dark, fast_in_bf16, caplog):
    model = off_in_the_dark(np.nan)
    predictor = build_predictor([model], precision=AUTO, videos=[clips[0], clips[2], clips[1], clips[3], clips[4]])
    result = predictor.predict(clips[1])  # not one of those whose turn it is
    assert result.status == "ok" and result.score == build_predictor([model]).predict(clips[1]).score
    assert result.precision_check == ScoreCheck(None, False)
    assert "dark.mp4: its score in bf16 is no number" in caplog.text
    assert build_predictor([model], precision="bf16").predict(clips[1]).status == "failed", "as asked for"


def test_the_reference_network_that_loses_scores_in_bf16_computes_in_float32(mini_dfdc, reference_checkpoint):
    """Eight faces of two clips were within 0.003 of float32's, while clips differ by up to 0.046."""
    if fastest_precision("cpu") == FLOAT32:
        pytest.skip("this processor does not multiply bf16: --precision auto is float32")
    (model,) = load_models([Member(reference_checkpoint)])
    videos = sorted(mini_dfdc.glob("*/*.mp4"))
    predictor = build_predictor([on_frames(model, 8)], precision=AUTO, videos=videos)
    assert predictor.check.faces >= 60 and predictor.check.videos == 8
    assert predictor.run["settings"]["precision"] == FLOAT32
    assert predictor.check.video_difference > 0.01 and predictor.check.spread > 0.01


def test_a_continued_run_chooses_as_it_began(clips, tiny_model, fast_in_bf16):
    model = on_frames(tiny_model, 3)
    begun = plain(build_predictor([model], precision=AUTO, videos=clips[:5]).run)
    fast_in_bf16.clear()
    assert plain(build_predictor([model], precision=AUTO, videos=clips, begun=begun).run) == begun
    assert fast_in_bf16 == []
    # What was seen of other networks, or in other settings, says nothing of these.
    for other in (replace(model, sha256="0"), on_frames(tiny_model, 2)):
        fast_in_bf16.clear()
        build_predictor([other], precision=AUTO, videos=clips, begun=begun)
        assert fast_in_bf16 == [["a.mp4", "broken.mp4"]]
    fast_in_bf16.clear()
    run = plain(build_predictor([model], precision=FLOAT32, videos=clips, begun=begun).run)
    assert fast_in_bf16 == [] and run["settings"]["precision_check"] is None


def test_without_videos_two_portraits_are_tried(tiny_model, fast_in_bf16):
    check = build_predictor([on_frames(tiny_model, 3)], precision=AUTO).check
    assert check.kept and (check.source, check.faces) == ("portraits", 4)
    assert fast_in_bf16 == []


@given(st.integers(1, 3000))
def test_one_video_in_sixteen_is_checked(total):
    videos = [Path(f"{i}.mp4") for i in range(total)]
    chosen = checked_videos(videos)
    assert len(chosen) == total // 16 and set(chosen) <= set(videos)
    assert chosen == checked_videos(videos)

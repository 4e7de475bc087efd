"""evaluate.py as users run it: a data set and scores in, figures, tables and a page out."""

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import evaluate
from deepfake.checkpoints.trained_groups import digest_groups
from deepfake.evaluation.comparing import read_comparison
from deepfake.evaluation.evaluating import read_evaluation
from deepfake.evaluation.robustness import read_robustness
from deepfake.media.images import write_image
from deepfake.scoring.results import NO_FACE, OK, PersonScore, ScoredFace, VideoResult
from deepfake.scoring.tables import write_details
from deepfake.synthesis.portraits import PERSONS, read_portrait
from tests.data.predicting import tiny_checkpoint

MODELS = [{"name": "m", "sha256": "a" * 64, "weight": 1.0, "aggregation": "confident", "crop_recipe": 0}]
RUN = {"models": MODELS, "crop_recipes": [{"kind": "crop", "detector": "mtcnn"}], "settings": {"precision": "float32"}}


def faces(scores, size=100):
    """Two faces a frame: one with the score, a small one with 1 minus it."""
    large = [ScoredFace(i, (0, 0, size, size), 0.9, (9, 9), 0, {"m": s}, 0) for i, s in enumerate(scores)]
    small = [ScoredFace(i, (0, 0, 20, 20), 0.9, (9, 9), 0, {"m": 1 - s}, 1) for i, s in enumerate(scores)]
    return [*large, *small]


@pytest.fixture
def data(tmp_path):
    """A table of 30 originals with two fakes each, by two methods of which `hard` is not found; their details."""
    rng = np.random.default_rng(0)
    rows, results = ["path,label,original,method"], {}
    for i in range(30):
        for kind, label in (("", 0), ("easy", 1), ("hard", 1)):
            name = f"v{i}{kind}.mp4"
            (tmp_path / name).write_bytes(b"")
            rows.append(f"{name},{label},{f'v{i}.mp4' if label else ''},{kind}")
            scores = np.clip(rng.normal(0.8 if kind == "easy" else 0.3, 0.1, 4), 0, 1)
            own = [PersonScore(0, float(scores.mean()), 4)]
            results[name] = VideoResult(
                OK, float(scores.mean()), "", {"m": 0.5}, [0, 1, 2, 3], faces=faces(scores.tolist(), 50 + 4 * i),
                persons=own,
            )  # fmt: skip
    results["v0.mp4"] = VideoResult(NO_FACE, reason="no face was found", frames=[0, 1, 2, 3])
    (tmp_path / "set.csv").write_text("\n".join(rows))
    write_details(tmp_path / "details.json", results, RUN)
    return tmp_path


@pytest.fixture
def run(data, run_main):
    def call(*options, out="out"):
        words = [str(word) for word in options]
        return run_main(evaluate.main, *words, "--out", str(data / out), "--bootstrap", "30")

    return call


def test_everything_is_written_and_the_worst_comes_first(data, run):
    code, out, err = run(data / "set.csv", "--predictions", data / "details.json")
    assert code == 0, err
    assert {path.name for path in (data / "out").iterdir()} >= {
        *("evaluation.json", "evaluation.md", "cells.csv", "videos.csv", "index.html")
    }
    found = read_evaluation(data / "out" / "evaluation.json")
    assert [cell.name for cell in found.cells if cell.by == "method"] == ["hard", "easy"]
    overall = found.cells[0]
    assert (overall.reals, overall.fakes, overall.groups) == (29, 60, 30)
    labels = [video.label for video in found.videos]
    assert overall.metrics["auc"][0] == pytest.approx(roc_auc_score(labels, [v.score for v in found.videos]))
    assert "1 videos without a score are left out" in out and "protocol: " in out
    page = (data / "out" / "index.html").read_text()
    assert "By method" in page and "http" not in page.split("</head>")[1].replace("http://www.w3.org", "")


@pytest.mark.parametrize(
    "protocol, no_face", [("dfdc", True), ("deepfakebench", False), ("sbi", True), ("gend", False)]
)
def test_a_protocol_decides_on_videos_without_faces(data, run, protocol, no_face):
    assert run(data / "set.csv", "--predictions", data / "details.json", "--protocol", protocol)[0] == 0
    found = {video.video_id: video for video in read_evaluation(data / "out" / "evaluation.json").videos}
    assert ("v0" in found) == no_face
    assert not no_face or found["v0"].score == 0.5


def test_protocols_take_other_faces(data, run):
    scores = {}
    for rule in ("mean", "largest", "recorded"):
        assert run(data / "set.csv", "--predictions", data / "details.json", "--aggregate", rule)[0] == 0
        scores[rule] = {v.video_id: v.score for v in read_evaluation(data / "out" / "evaluation.json").videos}
    assert set(np.round(list(scores["mean"].values()), 5)) == {0.5}
    assert scores["largest"] == pytest.approx(scores["recorded"], abs=1e-5)


def test_without_a_face_may_end_it(data, run):
    code, _, err = run(data / "set.csv", "--predictions", data / "details.json", "--no-face", "error")
    assert code == 2 and "v0.mp4" in err and "no face was found" in err


def test_scores_of_another_detector_by_frame(data, run):
    rows = [f"v{i}{kind}.mp4,{f},{0.9 if kind else 0.2}" for i in range(30) for kind in ("", "easy") for f in (0, 1)]
    (data / "other.csv").write_text("\ufefffilename,frame,Probability\r\n" + "\r\n".join(rows))
    code, out, err = run(data / "set.csv", "--scores", data / "other.csv")
    assert code == 0, err
    overall = read_evaluation(data / "out" / "evaluation.json").cells[0]
    assert overall.metrics["auc"][0] == overall.metrics["frame_auc"][0] == 1
    assert overall.frames == 120 and "30 of the data set's 90 videos are not among the predictions" in out


@pytest.mark.parametrize(
    "table, message",
    [("a,b\n1,2\n", "found the columns"), ("path,score\nv1.mp4,1.5\n", "probability of fake"), ("", "not a table")],
)
def test_unusable_scores_are_named(data, run, table, message):
    (data / "other.csv").write_text(table)
    code, _, err = run(data / "set.csv", "--scores", data / "other.csv")
    assert code == 2 and message in err and "other.csv" in err


def test_one_failure_of_a_detector_stops_nothing(data, run, monkeypatch):
    module = (
        "calls = []\n"
        "def score(path):\n"
        "    calls.append(path.name)\n"
        "    if path.name == 'v3.mp4':\n"
        "        raise RuntimeError('broken')\n"
        "    return None if path.name == 'v4.mp4' else 0.9 if 'easy' in path.name else 0.1\n"
    )
    (data / "own_detector.py").write_text(module)
    monkeypatch.chdir(data)
    code, out, err = run("set.csv", "--detector", "own_detector:score", "--methods", "easy")
    assert code == 0, err
    assert "2 videos without a score" in out and "RuntimeError: broken" in out
    assert not list((data / "out").glob("*.journal"))


@pytest.fixture
def pictures(tmp_path):
    """Real and fake folders of three pictures each, portraits in two colors, and a text beside them."""
    for label, kind in enumerate(("real", "fake")):
        for name, person in (("a", PERSONS[0]), ("b", PERSONS[1])):
            face = (read_portrait(person)[:256, 96:352] * (1 - 0.5 * label)).astype(np.uint8)
            folder = tmp_path / "set" / kind / name
            folder.mkdir(parents=True)
            (folder / "notes.txt").write_text("no picture")
            for i in range(3):
                write_image(folder / f"{i}.png", face[: 256 - i])
    return tmp_path / "set"


def test_a_detector_is_given_each_picture_of_a_folder(pictures, tmp_path, run_main, monkeypatch):
    module = (
        "def score(path):\n"
        "    if path.parent.name == 'b' and path.name == '1.png':\n"
        "        return None\n"
        "    return int(path.stem) / 10 + 0.5 * (path.parent.parent.name == 'fake')\n"
    )
    (tmp_path / "picture_detector.py").write_text(module)
    monkeypatch.chdir(tmp_path)
    words = ("set", "--detector", "picture_detector:score", "--bootstrap", "20", "--out", "out")
    code, _, err = run_main(evaluate.main, *words)
    assert code == 0, err
    found = read_evaluation(tmp_path / "out" / "evaluation.json")
    assert sorted(video.score for video in found.videos) == pytest.approx([0.1, 0.1, 0.6, 0.6])
    assert (
        found.cells[0].frames == 10 and found.protocol["recorded frames"] == "at most 32 spread of a folder of pictures"
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["frames", "crops"])
def test_networks_take_folders_of_pictures(pictures, tmp_path, run_main, kind):
    tiny_checkpoint(tmp_path / "weights" / "tiny_last", training={"groups": digest_groups(["real_a"])})
    words = [pictures, "--models", "tiny_last", "--weights-dir", tmp_path / "weights", "--bootstrap", "20"]
    words += ["--workers", "1", "--precision", "float32", "--pictures", kind, "--out", tmp_path / "out"]
    words += ["--protocol", "deepfakebench"]
    code, out, err = run_main(evaluate.main, *words)
    assert code == 0, err
    assert "were in the training data of tiny_last, e.g. 'a'" in out and "trained groups: tiny_last 1" in out
    content = json.loads((tmp_path / "out" / "details.json").read_text())
    assert {video["filename"] for video in content["videos"]} == {"real/a", "real/b", "fake/a", "fake/b"}
    for video in content["videos"]:
        sizes = [face["crop_size"] for face in video["faces"]]
        assert video["frames"] == [0, 1, 2] and len(sizes) == 3
        assert (sizes == [[256, 256], [255, 256], [254, 256]]) == (kind == "crops")
    found = read_evaluation(tmp_path / "out" / "evaluation.json")
    assert found.protocol["recorded frames"] == "first 32"
    assert found.protocol["detector"] == ("none" if kind == "crops" else "mtcnn") and found.cells[0].frames == 12


@pytest.mark.slow
def test_a_perturbation_that_nothing_can_be_scored_under_is_left_out(pictures, tmp_path, run_main):
    """Pictures of several sizes make no video to encode."""
    tiny_checkpoint(tmp_path / "weights" / "tiny_last")
    words = [pictures, "--models", "tiny_last", "--weights-dir", tmp_path / "weights", "--bootstrap", "20"]
    words += ["--workers", "1", "--precision", "float32", "--pictures", "crops", "--out", tmp_path / "out"]
    code, out, err = run_main(evaluate.main, *words, "--perturb", "VC:1", "GB:3")
    assert code == 0, err
    assert "warning: VC:1: left out: none of 4 videos has a score" in out
    rows = read_robustness(tmp_path / "out" / "robustness.json").rows
    assert [(row.perturbation, row.level) for row in rows] == [("GB", "3")]
    assert "VC:1: left out" in (tmp_path / "out" / "index.html").read_text()


def test_crops_and_whole_frames_are_not_scored_together(pictures, tmp_path, run_main):
    rows = [f"{label}/{name},{value}" for value, label in enumerate(("real", "fake")) for name in "ab"]
    (pictures / "video.mp4").write_bytes(b"")
    (pictures / "set.csv").write_text("\n".join(["path,label", *rows, "video.mp4,1"]))
    words = (pictures / "set.csv", "--models", "m", "--pictures", "crops", "--out", tmp_path / "out")
    code, _, err = run_main(evaluate.main, *words)
    assert code == 2 and "4 of 5 videos are finished face crops" in err
    code, _, err = run_main(evaluate.main, pictures, "--layout", "folders", *words[1:], "--face-detector", "mtcnn")
    assert code == 2 and "nothing is detected in finished face crops" in err


def test_training_groups_are_a_warning(data, run):
    (data / "folds.csv").write_text("video,file,label,original,frame,fold\nv7easy,x.png,1,v7,0,2\nv8,x.png,0,v8,0,3\n")
    options = (data / "set.csv", "--predictions", data / "details.json", "--trained-on", data / "folds.csv")
    _, out, _ = run(*options)
    assert "2 groups of the test set were in the training data" in out
    assert "1 groups of the test set" in run(*options, "--held-out-fold", "3")[1]


def test_training_groups_of_networks_are_known_from_the_details(data, run):
    content = json.loads((data / "details.json").read_text())
    content["trained_groups"] = {"m": digest_groups(["v7", "elsewhere"])}
    (data / "details.json").write_text(json.dumps(content))
    code, out, err = run(data / "set.csv", "--predictions", data / "details.json")
    assert code == 0, err
    assert "warning: 1 groups of the test set were in the training data of m, e.g. 'v7'" in out
    assert "trained groups: m 2" in out and "in the training data of m" in (data / "out" / "index.html").read_text()
    content["trained_groups"] = {"m": "damaged"}
    (data / "details.json").write_text(json.dumps(content))
    code, _, err = run(data / "set.csv", "--predictions", data / "details.json")
    assert code == 2 and "details.json: trained_groups: expected digests" in err


def test_unknown_training_groups_are_said_to_be_unknown(data, run):
    assert "trained groups: m not known" in run(data / "set.csv", "--predictions", data / "details.json")[1]
    (data / "other.csv").write_text("path,score\nv1.mp4,0.5\n")
    _, out, _ = run(data / "set.csv", "--scores", data / "other.csv")
    assert "trained groups: not known" in out and "warning" not in out


def test_runs_are_compared(data, run):
    run(data / "set.csv", "--predictions", data / "details.json", "--name", "first <run>", out="a")
    run(data / "set.csv", "--predictions", data / "details.json", "--aggregate", "mean", out="b")
    code, out, err = run("--compare", data / "a", data / "a", data / "b", out="both")
    assert code == 0, err
    assert "(+0.0000 [+0.000, +0.000])" in out and "(-" in out
    found = read_comparison(data / "both" / "comparison.json")
    assert (found.videos, found.groups, [run.name for run in found.runs]) == (89, 30, ["first <run>"] * 2 + ["b"])
    baseline, _, other = (run.values["auc"] for run in found.runs)
    change = found.runs[2].differences["auc"]
    assert change.value == other - baseline < 0 and change.low <= change.value <= change.high
    table = (data / "both" / "comparison.md").read_text()
    page = (data / "both" / "index.html").read_text()
    assert f"({change.value:+.4f} [{change.low:+.3f}, {change.high:+.3f}])" in table and "first &lt;run" in table
    assert f">{change.value:+.4f}<" in page and "first &lt;run" in page
    assert page.count('class="number worse"') > 0 and 'alt="Difference in AUC"' in page
    assert '<td class="differs">mean</td>' in page  # protocols that differ are marked


def test_runs_without_both_labels_are_compared(data, run):
    rows = "\n".join(f"v{i}easy.mp4,0.{i}" for i in range(1, 5))
    (data / "fakes.csv").write_text(f"path,score\n{rows}\n")
    for out in ("a", "b"):
        assert run(data / "set.csv", "--scores", data / "fakes.csv", out=out)[0] == 0
    code, out, err = run("--compare", data / "a", data / "b", out="both")
    assert code == 0, err
    assert "acc 0.5" in out and "AUC" not in out and "4 groups that all runs have (too few for a claim" in out
    assert "<img" not in (data / "both" / "index.html").read_text()


def test_small_cells_are_marked(data, run):
    names = [f"v{i}{kind}.mp4" for i in range(5) for kind in ("", "easy")]
    (data / "few.csv").write_text("\n".join(["path,score", *(f"{name},0.{i}" for i, name in enumerate(names))]))
    _, out, _ = run(data / "set.csv", "--scores", data / "few.csv")
    assert "all*" in out and "fewer than 10 groups" in out
    assert "Too few: 5 groups with reals" in (data / "out" / "index.html").read_text()


def test_wrong_uses_are_one_line(data, run):
    code, _, err = run(data / "set.csv", "--predictions", data / "nothing.json")
    assert code == 2 and "nothing.json" in err and "Traceback" not in err
    code, _, err = run(data / "set.csv", "--detector", "nowhere:f")
    assert code == 2 and "nowhere" in err


def test_perturbations_take_networks(data, run):
    code, _, err = run(data / "set.csv", "--predictions", data / "details.json", "--perturb", "GNC")
    assert code == 2 and "--perturb goes with --models" in err


@pytest.mark.slow
def test_a_network_is_evaluated_on_real_clips(mini_dfdc, tmp_path, run_main):
    tiny_checkpoint(tmp_path / "weights" / "tiny_last")
    root = tmp_path / "root"
    root.mkdir()
    (root / "dfdc_train_part_0").symlink_to(mini_dfdc / "dfdc_train_part_0")
    words = [str(root), "--models", "tiny_last", "--weights-dir", str(tmp_path / "weights"), "--bootstrap", "20"]
    words += ["--out", str(tmp_path / "out"), "--workers", "1", "--protocol", "gend", "--precision", "float32"]
    code, out, err = run_main(evaluate.main, *words, "--perturb", "GB:1", "GB:5")
    assert code == 0, err
    found = read_evaluation(tmp_path / "out" / "evaluation.json")
    assert len(found.videos) == 4 and 0 <= found.cells[0].metrics["auc"][0] <= 1
    assert "tiny_last" in found.protocol["checkpoints"] and found.protocol["detector"] != "unknown"
    assert found.protocol["recorded frames"] == "count 32"
    rows = read_robustness(tmp_path / "out" / "robustness.json").rows
    assert [(row.perturbation, row.level) for row in rows] == [("GB", "1"), ("GB", "5")]
    clean, *perturbed = (
        {video["filename"]: video["score"] for video in json.loads(path.read_text())["videos"]}
        for path in (tmp_path / "out" / name for name in ("details.json", "perturbed/GB_1.json", "perturbed/GB_5.json"))
    )
    assert clean != perturbed[0] != perturbed[1]
    assert "Under perturbations" in (tmp_path / "out" / "index.html").read_text() and "GB:5" in out
    table = (tmp_path / "out" / "evaluation.md").read_text().split("## Under perturbations")[1]
    assert "(robustness.svg)" in table and f"| GB | 5 | {rows[1].auc[0]:.4f} [" in table
    assert (tmp_path / "out" / "robustness.svg").read_bytes().startswith(b"<?xml")
    written = (tmp_path / "out" / "details.json").stat().st_mtime_ns
    assert run_main(evaluate.main, *words)[0] == 0  # finished: nothing is scored again
    assert (tmp_path / "out" / "details.json").stat().st_mtime_ns == written

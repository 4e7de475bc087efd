"""Prediction through a real Triton server: the same scores as torch's, whatever becomes of the server meanwhile."""

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import predict_folder
from deepfake.backends import triton
from deepfake.backends.triton import Server, TritonError
from deepfake.checkpoints.checkpoint import load_model
from deepfake.prediction.face_scorer import FaceInput, FaceScorer
from export import __main__ as command
from export.triton import config as triton_config
from tests.data.clips import cut
from tests.data.predicting import tiny_checkpoint
from tests.data.triton_server import REQUIRE_TRITON, TritonServer, why_not

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.server, pytest.mark.slow]

MODELS = ("tiny", "zweites Netz.pth")
WEIGHTS = (0.3, 0.7)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    for seed, name in enumerate(MODELS):
        tiny_checkpoint(folder / name, seed)
    return folder


@pytest.fixture(scope="module")
def repository(weights, tmp_path_factory) -> Path:
    """What the command writes for a minimal server, and models that a client must not use."""
    if (reason := why_not()) is not None:
        (pytest.fail if os.environ.get(REQUIRE_TRITON) == "1" else pytest.skip)(reason)
    folder = tmp_path_factory.mktemp("repository")
    checkpoints = [str(weights / name) for name in MODELS]
    shares = [str(weight) for weight in WEIGHTS]
    options = ["--format", "triton", "--triton-backend", "python", "--out", str(folder)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["export", *checkpoints, "--weights", *shares, *options])
        assert command.main() == 0
    for name in ("narrow", "stranger"):
        shutil.copytree(folder / "tiny", folder / name)
        change_config(folder / name, name)
    return folder


def change_config(folder: Path, name: str) -> None:
    """Makes a model that takes other pictures than its network, one that tells nothing, or one of another network."""
    config = triton_config.read_config(folder / "config.pbtxt")
    config.name = name
    if name == "narrow":
        config.parameters["checkpoint"].string_value = name
        config.input[0].dims[1] = 32
        del config.model_warmup[:]
    elif name == "stranger":
        config.parameters.clear()
    else:
        config.parameters["file_sha256"].string_value = "0" * 64
    (folder / "config.pbtxt").write_text(triton_config.to_text(config))


@pytest.fixture(scope="module")
def server(repository, tmp_path_factory):
    server = TritonServer(repository, tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def videos(mini_dfdc, tmp_path_factory) -> Path:
    """Four videos with more faces than go into one request."""
    folder = tmp_path_factory.mktemp("videos")
    for source in sorted(mini_dfdc.glob("dfdc_train_part_1/*.mp4"))[:4]:
        cut(source, folder / source.name, 10)
    return folder


@pytest.fixture
def predict(run_main, weights, videos, tmp_path):
    """`predict(option, ...)`: exit code, the details by video if there are any, what was told."""

    def call(*options: object, models=MODELS[:1]) -> tuple[int, dict, str]:
        details = tmp_path / "details.json"
        details.unlink(missing_ok=True)
        arguments = ["--test-dir", videos, "--weights-dir", weights, "--models", *models, "--frames", 10]
        outputs = ["--output", tmp_path / "scores.csv", "--details", details, "--workers", 1]
        code, _, err = run_main(predict_folder.main, *arguments, *outputs, *options)
        return code, json.loads(details.read_text()) if details.exists() else {}, err

    return call


@pytest.fixture(scope="module")
def expected(weights, videos, tmp_path_factory) -> dict:
    """The details that torch gives, of one network."""
    out = tmp_path_factory.mktemp("torch")
    arguments = ["--test-dir", videos, "--weights-dir", weights, "--models", MODELS[0], "--frames", 10, "--workers", 1]
    outputs = ["--output", out / "scores.csv", "--details", out / "details.json"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", list(map(str, ["predict", *arguments, *outputs])))
        assert predict_folder.main() == 0
    return json.loads((out / "details.json").read_text())


def assert_same(found: dict, expected: dict) -> None:
    assert len(expected["videos"]) == 4
    assert [video["filename"] for video in found["videos"]] == [video["filename"] for video in expected["videos"]]
    for after, before in zip(found["videos"], expected["videos"]):
        assert after["status"] == "ok" and len(after["faces"]) > 8
        assert after["score"] == pytest.approx(before["score"], abs=1e-4)
        assert [face["box"] for face in after["faces"]] == [face["box"] for face in before["faces"]]
        for one, other in zip(after["faces"], before["faces"]):
            assert one["scores"] == pytest.approx(other["scores"], abs=1e-4)


@pytest.fixture
def at_request(monkeypatch):
    """`at_request(n, what)`: calls `what()` once n requests are sent, before any of the last ones is answered."""

    def arrange(number: int, what: Callable[[], None]) -> None:
        send, sent = Server._send, []

        def counted(self, name, batch):
            future = send(self, name, batch)
            sent.append(name)
            if len(sent) == number:
                what()
            return future

        monkeypatch.setattr(Server, "_send", counted)

    return arrange


def soon(what: Callable[[], None], seconds: float = 1.0) -> threading.Thread:
    def work() -> None:
        time.sleep(seconds)
        what()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_the_same_scores_as_torch(server, predict, expected, weights):
    code, found, err = predict("--backend", "triton", "--url", server.url)
    assert code == 0, err
    assert_same(found, expected)
    (model,) = found["models"]
    assert model["name"] == MODELS[0] and model["sha256"] == expected["models"][0]["sha256"]
    assert model["exported"]["file"] == "tiny" and model["exported"]["precision"] == "float32"
    assert found["settings"]["backend"] == "triton" and found["settings"]["precision"] == "float32"
    assert server.url not in json.dumps(found)


def test_several_networks_and_their_maps(server, predict, expected, tmp_path):
    options = ["--weights", *WEIGHTS, "--report", tmp_path / "report"]
    code, found, err = predict("--backend", "triton", "--url", server.url, *options, models=MODELS)
    assert code == 0, err
    for video, before in zip(found["videos"], expected["videos"]):
        assert set(video["model_scores"]) == set(MODELS)
        assert video["model_scores"]["tiny"] == pytest.approx(before["score"], abs=1e-4)
    assert "no activation maps" not in err and len(list((tmp_path / "report").glob("*.html"))) == 5


def test_the_ensemble_gives_the_weighted_score(server, weights, crops):
    from tritonclient import grpc

    scores = []
    for name in MODELS:
        network, spec = load_model(weights / name)
        scores.append(FaceScorer(network, spec.normalization)(crops))
    (pictures,) = FaceInput(network, spec.normalization).batches(crops[:8])
    with grpc.InferenceServerClient(server.url) as client:
        given = grpc.InferInput("pictures", list(pictures.shape), "FP32")
        given.set_data_from_numpy(pictures.numpy())
        score = client.infer("ensemble", [given]).as_numpy("score")
    assert score.shape == (8, 1)
    assert score[:, 0] == pytest.approx(np.average(scores, axis=0, weights=WEIGHTS)[:8], abs=1e-5)


def test_batches_keep_their_order_and_share_the_servers_batches(server):
    network = triton.ServedNetwork(Server(server.url), "tiny")
    pictures = torch.randn(40, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    singly = torch.cat(list(network.stream(pictures.split(1))))
    together = network(pictures)  # more than the server takes at once
    assert len(pictures) > network.served.max_batch
    assert singly.shape == together.shape == (40, 1) and len(singly.unique()) == 40
    assert singly.numpy() == pytest.approx(together.numpy(), abs=1e-5)
    assert list(network.stream([])) == []
    (stats,) = json.loads(server.get("v2/models/tiny/stats"))["model_stats"]
    assert stats["inference_stats"]["success"]["count"] > stats["execution_count"], "no two requests shared a batch"


def kill(server: TritonServer) -> Callable[[], None]:
    server.kill()
    return server.start


def crash(server: TritonServer) -> Callable[[], None]:
    """What runs the models dies: the server lives on, but answers with errors until it is started again."""
    for stub in server.stubs:
        stub.kill()

    def restart() -> None:
        server.kill()
        server.start()

    return restart


def hang(server: TritonServer) -> Callable[[], None]:
    server.pause()
    return server.resume


@pytest.mark.parametrize("harm", [kill, crash, hang])
def test_a_server_that_fails_in_the_middle_and_comes_back(server, predict, expected, at_request, monkeypatch, harm):
    monkeypatch.setattr(triton, "REQUEST_SECONDS", 0.5)
    cures = []
    at_request(4, lambda: cures.append(soon(harm(server))))
    code, found, err = predict("--backend", "triton", "--url", server.url)
    cures[0].join()
    assert code == 0, err
    assert_same(found, expected)


def test_gone_for_good_then_continued(server, predict, expected, at_request, monkeypatch):
    monkeypatch.setattr(triton, "RETRY_SECONDS", 1.0)
    at_request(4, server.kill)
    options = ["--backend", "triton", "--url", server.url]
    code, found, err = predict(*options)
    assert code == 2 and not found
    assert f"the Triton server at {server.url} has given no answer for 1 s" in err
    assert "run the same command again to continue" in err
    code, found, err = predict(*options)
    assert code == 2 and f"no Triton server answers at {server.url}" in err
    server.start()
    code, found, err = predict(*options)
    assert code == 0, err
    assert "continuing: 1 of 4 videos are done already" in err
    assert_same(found, expected)


def test_another_network_under_the_name_ends_the_run(server, repository, predict, at_request):
    restarts = []

    def replace() -> None:
        server.kill()
        change_config(repository / "tiny", "tiny")
        restarts.append(soon(server.start, 0.1))

    kept = (repository / "tiny" / "config.pbtxt").read_bytes()
    at_request(2, replace)
    try:
        code, found, err = predict("--backend", "triton", "--url", server.url)
        restarts[0].join()
    finally:
        (repository / "tiny" / "config.pbtxt").write_bytes(kept)
    assert code == 2 and not found
    assert "serves another tiny than when this run began" in err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "the server has no model missing; it has ensemble, ensemble-weighting, narrow, stranger, tiny"),
        ("narrow", "has pictures [3, 32, 64]; its checkpoint says pictures [3, 64, 64]"),
        ("stranger", "stranger: was not made from a checkpoint by python -m export --format triton"),
        ("ensemble", "ensemble: was not made from a checkpoint"),
    ],
)
def test_models_that_cannot_be_used(server, predict, name, message):
    code, found, err = predict("--backend", "triton", "--url", server.url, models=[name])
    assert code == 2 and not found
    assert f"error: {server.url}: " in err and message in err and err.count("\n") == 1


def test_a_model_of_another_checkpoint_is_refused(server, predict, weights, tmp_path):
    other = tiny_checkpoint(tmp_path / "tiny", seed=7)
    code, _, err = predict("--backend", "triton", "--url", server.url, "--weights-dir", tmp_path)
    assert code == 2
    assert f"was made from another checkpoint than {other}" in err and "--format triton" in err


def test_pictures_that_the_server_refuses(server):
    connection = Server(server.url)
    with pytest.raises(TritonError, match=r"tiny refuses pictures of shape \(1, 3, 32, 64\): .*\[-1,3,64,64\]"):
        list(connection.infer("tiny", [np.zeros((1, 3, 32, 64), np.float32)]))


def test_the_wrong_port_is_reported(server, predict):
    code, _, err = predict("--backend", "triton", "--url", f"127.0.0.1:{server.http}")
    assert code == 2 and "no Triton server answers at" in err

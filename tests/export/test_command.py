"""python -m export, and predict_folder.py --backend with what it wrote: the same scores, or a clear refusal."""

import json
import shutil
import sys
from pathlib import Path

import pytest

import predict_folder
from deepfake.prediction.scoring_model import TORCH, TRITON
from export import __main__ as command
from export.format_registry import FORMATS
from tests.data.predicting import tiny_checkpoint

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]

MODEL = "tiny"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("checkpoint") / MODEL)


@pytest.fixture(scope="module")
def weights(checkpoint) -> Path:
    """A folder with a checkpoint and what the command exports from it to each format that runs here."""
    for made in ("onnx", "openvino"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["export", str(checkpoint), "--format", made, "--out", str(checkpoint.parent)])
            assert command.main() == 0
    return checkpoint.parent


@pytest.fixture
def predict(run_main, clip, tmp_path):
    """`predict(weights, option, ...)`: the details of the clip, or what was told instead."""

    def call(weights: Path, *options: object):
        details = tmp_path / "details.json"
        arguments = [clip, "--weights-dir", weights, "--output", tmp_path / "s.csv", "--details", details]
        models = [] if "--models" in options else ["--models", MODEL]
        code, _, err = run_main(predict_folder.main, *arguments, *models, "--frames", 4, "--workers", 1, *options)
        return (json.loads(details.read_text()) if code == 0 else err), code

    return call


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_the_same_scores_as_torch(backend, predict, weights):
    expected, _ = predict(weights, "--precision", "float32")
    found, code = predict(weights, "--backend", backend)
    assert code == 0, found
    (before,), (after,) = expected["videos"], found["videos"]
    assert [face["box"] for face in after["faces"]] == [face["box"] for face in before["faces"]]
    assert len(after["faces"]) == 4
    for one, other in zip(after["faces"], before["faces"]):
        assert one["scores"][MODEL] == pytest.approx(other["scores"][MODEL], abs=1e-5)
    assert after["score"] == pytest.approx(before["score"], abs=1e-5)
    (model,) = found["models"]
    suffix = FORMATS[backend].file.suffix
    assert model["exported"]["file"] == MODEL + suffix and model["exported"]["precision"] == "float32"
    assert model["sha256"] == expected["models"][0]["sha256"]
    assert found["settings"]["backend"] == backend and expected["settings"]["backend"] == "torch"
    assert found["settings"]["precision"] == "float32"
    named, _ = predict(weights, "--backend", backend, "--models", MODEL + suffix)
    assert named["videos"][0]["score"] == after["score"]


def test_a_file_of_another_checkpoint_is_refused(predict, weights, tmp_path):
    shutil.copy(weights / f"{MODEL}.onnx", tmp_path)
    other = tiny_checkpoint(tmp_path / MODEL, seed=1)
    message, code = predict(tmp_path, "--backend", "onnx")
    assert code == 2
    assert f"was made from another checkpoint than {other}" in message
    assert f"python -m export {other} --format onnx --out {tmp_path}" in message


def test_a_missing_file_names_the_command(predict, weights, tmp_path):
    message, code = predict(tmp_path, "--backend", "openvino")
    assert code == 2
    assert f"tiny.xml: no such file; make it: python -m export {tmp_path / MODEL} --format openvino" in message


@pytest.mark.parametrize(("precision", "code"), [("bf16", 2), ("float32", 0)])
def test_the_file_decides_the_precision(predict, weights, precision, code):
    message, found = predict(weights, "--backend", "onnx", "--precision", precision)
    assert found == code
    if code:
        assert "tiny.onnx computes in float32; leave --precision out" in message


@pytest.mark.parametrize("with_checkpoint", [True, False])
def test_maps_need_the_checkpoint(run_main, clip, weights, tmp_path, with_checkpoint):
    folder = tmp_path / "weights"
    folder.mkdir()
    for name in (f"{MODEL}.onnx", *([MODEL] if with_checkpoint else [])):
        shutil.copy(weights / name, folder)
    options = ["--weights-dir", folder, "--models", MODEL, "--backend", "onnx", "--frames", 2, "--workers", 1]
    report = tmp_path / "report"
    code, _, err = run_main(predict_folder.main, clip, *options, "--output", tmp_path / "s.csv", "--report", report)
    assert code == 0, err
    assert ("no activation maps" in err) != with_checkpoint
    page = next(path for path in report.glob("*.html") if path.name != "index.html").read_text()
    assert ("Where the network looked" in page) == with_checkpoint or ("activation" in page.lower()) == with_checkpoint


def test_tensorrt_that_is_not_there_is_reported(run_main, predict, weights, checkpoint, tmp_path):
    try:
        import tensorrt  # noqa: F401
    except ImportError:
        pass
    else:
        pytest.skip("TensorRT is there")
    code, _, err = run_main(command.main, checkpoint, "--format", "tensorrt", "--out", tmp_path)
    assert code == 2
    assert err.startswith("error: tensorrt is not installed; install it: python -m pip install tensorrt")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / f"{MODEL}.engine").write_bytes(b"an engine")
    message, code = predict(tmp_path, "--backend", "tensorrt")
    assert code == 2 and "tensorrt is not installed" in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "onnx", "--precision", "int8"], "--precision int8: onnx has float32"),
        (["--format", "openvino", "--precision", "fp16"], "openvino has float32, bf16, int8"),
        (["--format", "onnx", "--crops", "nowhere"], "nowhere: no such file or folder"),
        (["--format", "openvino", "--precision", "bf16", "--tolerance", "1e-12"], "not written: largest difference"),
    ],
)
def test_what_cannot_be_exported_is_reported(run_main, checkpoint, tmp_path, arguments, message):
    code, _, err = run_main(command.main, checkpoint, *arguments, "--out", tmp_path)
    assert code == 2
    assert message in err and err.count("error: ") == 1
    assert list(tmp_path.iterdir()) == []


def test_pictures_without_a_face_are_reported(run_main, checkpoint, tmp_path):
    import numpy as np

    from deepfake.media.images import write_image

    write_image(tmp_path / "gray.png", np.full((64, 64, 3), 128, np.uint8))
    code, _, err = run_main(
        command.main, checkpoint, "--format", "onnx", "--crops", tmp_path, "--out", tmp_path / "out"
    )
    assert code == 2
    assert "no face was found to check on" in err and "--crops" in err
    assert not (tmp_path / "out").exists()


def test_a_missing_library_names_the_extra(run_main, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    code, _, err = run_main(command.main, checkpoint, "--format", "onnx", "--out", tmp_path)
    assert code == 2
    assert "onnxscript" in err and "python -m pip install -e '.[export]'" in err


def test_commands_offer_the_formats_that_there_are(run_main):
    _, out, _ = run_main(command.main, "--help")
    assert "{" + ",".join((*FORMATS.names(), TRITON)) + "}" in out
    _, out, _ = run_main(predict_folder.main, "--help")
    assert "{" + ",".join(("auto", TORCH, *FORMATS.names(), TRITON)) + "}" in out
    precisions = {name for made in FORMATS.names() for name in FORMATS[made].file.precisions}
    _, out, _ = run_main(command.main, "--help")
    assert precisions == set(out.split("--precision {")[1].split("}")[0].split(","))

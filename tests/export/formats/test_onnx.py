"""ONNX: every architecture computes what torch does, for any batch; the file tells where it comes from."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from deepfake.backends.facts import ExportError, ExportFacts
from deepfake.backends.formats.onnx import open_file
from deepfake.backends.network import ExportedNetwork
from deepfake.checkpoints.spec import OUTPUT_SOFTMAX, ModelSpec
from deepfake.media.images import SECOND_PLACE, SYMMETRIC
from deepfake.models import model_names
from deepfake.prediction.face_scorer import ScoringError
from export.checking import compare, export_checked, make_scorer
from export.format_registry import FORMATS
from export.formats.onnx import OPSET
from export.graph import ExportJob
from tests.data.export_jobs import SIZE, TINY
from tests.data.networks import lively, poison

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]

ENCODER = TINY.options
SPECS = {
    "DeepFakeClassifier": TINY,
    "DeepFakeClassifierSRM": ModelSpec("DeepFakeClassifierSRM", ENCODER, SIZE),
    "DeepFakeClassifierGWAP": ModelSpec("DeepFakeClassifierGWAP", ENCODER, SIZE),
    "xception": ModelSpec("xception", {}, SIZE, SYMMETRIC, output=OUTPUT_SOFTMAX),
    "wsdan_xception": ModelSpec("wsdan_xception", {}, SIZE, SECOND_PLACE, output=OUTPUT_SOFTMAX),
    "wsdan_efficientnet_b3": ModelSpec("wsdan_efficientnet_b3", {}, SIZE, SECOND_PLACE, output=OUTPUT_SOFTMAX),
}


def opened(path) -> ExportedNetwork:
    return ExportedNetwork(*open_file(path, "cpu"))


@pytest.fixture(scope="module")
def tiny(make_job, tmp_path_factory):
    """A job and its file."""
    job, path = make_job(), tmp_path_factory.mktemp("onnx") / "tiny.onnx"
    export_checked(job, path, FORMATS["onnx"], 1e-3, "cpu")
    return job, path


def test_all_architectures_are_tried():
    assert sorted(SPECS) == model_names()


@pytest.mark.parametrize("name", SPECS)
def test_every_architecture_agrees_with_torch(name, make_job, tmp_path):
    job = make_job(SPECS[name])
    agreement = export_checked(job, tmp_path / "a.onnx", FORMATS["onnx"], 1e-3, "cpu")
    print(name, agreement)
    assert agreement.difference < 1e-4
    assert agreement.highest - agreement.lowest > 0.3, "scores that are all alike show nothing"
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"]
    assert opened(tmp_path / "a.onnx").facts == job.facts


def test_any_batch(tiny):
    job, path = tiny
    network = opened(path)
    for count in (1, 3, 8):
        batch = torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(count))
        with torch.inference_mode():
            expected = job.network(batch)
        assert network(batch).shape == (count, 1)
        assert network(batch).numpy() == pytest.approx(expected.numpy(), rel=1e-3, abs=1e-3)


def test_folded_normalization_is_the_same_as_outside(tiny, make_job, tmp_path, crops):
    job = make_job(folded=True)
    assert export_checked(job, tmp_path / "folded.onnx", FORMATS["onnx"], 1e-3, "cpu").difference < 1e-5
    folded, outside = opened(tmp_path / "folded.onnx"), opened(tiny[1])
    assert folded.facts.folded and not outside.facts.folded
    assert make_scorer(folded)(crops) == pytest.approx(make_scorer(outside)(crops), abs=1e-5)
    pixels = torch.from_numpy(crops).permute(0, 3, 1, 2).float()  # as a user of the file would give them
    scores = folded(pixels).sigmoid().flatten().numpy()
    assert scores == pytest.approx(make_scorer(outside)(crops), abs=1e-5)


def test_the_metadata_tells_all(tiny):
    import onnx

    job, path = tiny
    model = onnx.load(path)
    onnx.checker.check_model(model)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert ExportFacts.from_strings(path, metadata) == job.facts
    assert metadata["precision"] == "float32" and metadata["normalization_folded"] == "false"
    (version,) = [entry.version for entry in model.opset_import if entry.domain == ""]
    assert version == OPSET
    assert b".py" not in path.read_bytes(), "paths of source files stay at home"


def test_another_opset_is_written_or_refused(make_job, tmp_path):
    import onnx

    job = replace(make_job(), opset=20)
    export_checked(job, tmp_path / "a.onnx", FORMATS["onnx"], 1e-3, "cpu")
    assert onnx.load(tmp_path / "a.onnx").opset_import[0].version == 20
    with pytest.raises(ExportError, match="--opset 2: "):
        export_checked(replace(job, opset=2), tmp_path / "b.onnx", FORMATS["onnx"], 1e-3, "cpu")
    assert not (tmp_path / "b.onnx").exists()


def test_over_the_tolerance_nothing_is_left(tiny, tmp_path):
    job, _ = tiny
    with pytest.raises(ExportError, match=r"not written: largest difference .* \(--tolerance\)"):
        export_checked(job, tmp_path / "a.onnx", FORMATS["onnx"], 1e-12, "cpu")
    assert list(tmp_path.iterdir()) == []


def test_the_comparison_sees_a_difference(tiny, crops):
    job, path = tiny
    network = opened(path)
    shifted = ExportedNetwork(lambda batch: network(batch) + 0.1, network.facts)
    assert compare(job, make_scorer(shifted)).difference == pytest.approx(0.025, abs=0.01)
    broken = ExportedNetwork(lambda batch: torch.full((len(batch), 1), torch.nan), network.facts)
    with pytest.raises(ValueError, match="not finite"):
        compare(job, make_scorer(broken))


@pytest.mark.parametrize("fault", ["truncated", "text", "no metadata", "no spec"])
def test_bad_files_are_reported(tiny, tmp_path, fault):
    import onnx

    data = tiny[1].read_bytes()
    model = onnx.load(tiny[1])
    if fault == "no metadata":
        del model.metadata_props[:]
    for entry in model.metadata_props:
        if entry.key == "model_spec":
            entry.value = "{}"
    contents = {"truncated": data[: len(data) // 2], "text": b"not a network"}
    path = tmp_path / "bad.onnx"
    path.write_bytes(contents.get(fault, model.SerializeToString()))
    with pytest.raises(ExportError, match=r"bad\.onnx: .*python -m export"):
        open_file(path, "cpu")


def test_the_shape_of_scores(tiny, crops):
    scores = make_scorer(opened(tiny[1]))(crops)
    assert scores.shape == (len(crops),) and scores.dtype == np.float32
    assert make_scorer(opened(tiny[1]))(crops[:0]).shape == (0,)


@pytest.mark.parametrize("name, precision", [("onnx", "float32"), ("openvino", "float32"), ("openvino", "bf16")])
@pytest.mark.parametrize(
    "place", ["one weight of the first convolution", "one weight in the middle", "a batch norm's bias"]
)
def test_nan_in_an_exported_network_is_an_error(name, precision, place, crops, tmp_path):
    torch.manual_seed(1)
    spec = replace(TINY, options={"encoder": "regnetx_002"})  # ReLUs, which OpenVINO fuses with convolutions
    network = poison(lively(spec.build()), place)
    job = ExportJob(network, ExportFacts(spec, "tiny", "0" * 64, False, precision), crops[:2], OPSET)
    made = FORMATS[name]
    with made.written(tmp_path / f"a{made.file.suffix}", job) as file:
        exported = ExportedNetwork(*made.file.open_file(file, "cpu"))
        with pytest.raises(ScoringError, match="not finite"):
            make_scorer(exported)(crops[:2])


def test_a_flipped_bit_is_seen(tiny, tmp_path):
    _, path = tiny
    data = path.read_bytes()
    for place in range(len(data) // 3, len(data) - 1000, len(data) // 7):
        damaged = bytearray(data)
        damaged[place] ^= 4
        (tmp_path / "damaged.onnx").write_bytes(damaged)
        with pytest.raises(ExportError, match=r"damaged\.onnx: damaged"):
            open_file(tmp_path / "damaged.onnx", "cpu")

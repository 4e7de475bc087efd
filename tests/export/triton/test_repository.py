"""Model repositories for Triton: what is in them, and that nothing half-written or foreign is touched."""

import ast
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import model_config_pb2

from deepfake.backends.facts import FP16, ExportError, ExportFacts
from deepfake.backends.formats.onnx import open_file
from deepfake.backends.network import ExportedNetwork
from deepfake.backends.triton_models import MOST_NAME, model_name, parameters_of
from deepfake.checkpoints.spec import OUTPUT_SOFTMAX
from deepfake.media.images import SYMMETRIC
from export import __main__ as command
from export.checking import make_scorer
from export.formats import onnx
from export.triton import config as triton_config
from export.triton import model as triton_model
from export.triton import repository as triton_repository
from export.triton.repository import Repository, Served, needs_folding, weighting_graph
from tests.data.export_jobs import SIZE, TINY

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]


def parsed(folder):
    """A model's config, as Triton's own definition reads it."""
    return text_format.Parse((folder / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())


def listed(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def job(make_job):
    return make_job()


@pytest.fixture(scope="module", autouse=True)
def exported_once(job):
    """The same network is exported many times here: only its facts differ."""
    model = onnx.build_model(job)

    def build(other):
        assert other.network is job.network
        del model.metadata_props[:]
        for key, value in other.facts.to_strings().items():
            model.metadata_props.add(key=key, value=value)
        return model

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx, "build_model", build)
        yield


@pytest.fixture(scope="module")
def written(job, exported_once, tmp_path_factory):
    """A repository with one network."""
    folder = tmp_path_factory.mktemp("triton")
    repository = Repository(folder, "onnxruntime")
    return repository, repository.write_network(job, 1e-3, "cpu")


def served(name: str, spec=TINY, weight: float = 1.0, folded: bool = False) -> Served:
    facts = ExportFacts(spec, name, "0" * 64, folded, "float32")
    config = triton_config.network_config(name, facts, "1" * 64, "onnxruntime", "KIND_AUTO", 1)
    return Served(config, facts, weight)


def test_a_network_and_all_that_a_server_and_a_client_must_know(written, job, crops):
    repository, (config, agreement) = written
    assert agreement.difference < 1e-4
    folder = repository.folder / "tiny"
    assert listed(repository.folder) == ["tiny/1/model.onnx", "tiny/config.pbtxt"]
    found = parsed(folder)
    assert found == config
    assert (found.name, found.backend, found.default_model_filename) == ("tiny", "onnxruntime", "model.onnx")
    ((pictures,), (logits,)) = found.input, found.output
    assert (pictures.name, list(pictures.dims), pictures.data_type) == ("pictures", [3, SIZE, SIZE], 11)  # TYPE_FP32
    assert (logits.name, list(logits.dims)) == ("logits", [1])
    assert list(found.dynamic_batching.preferred_batch_size) == [32, 64] and found.max_batch_size == 64
    assert found.dynamic_batching.max_queue_delay_microseconds > 0
    assert [sample.batch_size for sample in found.model_warmup] == [1, 64]
    assert all(list(sample.inputs["pictures"].dims) == [3, SIZE, SIZE] for sample in found.model_warmup)
    parameters = parameters_of(found)
    assert ExportFacts.from_strings(folder, parameters) == job.facts
    run, facts = open_file(folder / "1" / "model.onnx", "cpu")
    scores = make_scorer(ExportedNetwork(run, facts))(crops)
    assert scores.max() - scores.min() > 0.3


@pytest.mark.parametrize(
    ("backend", "place", "kind", "most"),
    [
        ("onnxruntime", "auto", "KIND_AUTO", 64),
        ("tensorrt", "cuda", "KIND_GPU", 64),
        ("onnxruntime", "cpu", "KIND_CPU", 16),
    ],
)
def test_where_instances_run(backend, place, kind, most, job):
    config = triton_config.network_config("a", job.facts, "1" * 64, backend, triton_config.PLACES[place], 3)
    (group,) = config.instance_group
    assert (model_config_pb2.ModelInstanceGroup.Kind.Name(group.kind), group.count) == (kind, 3)
    assert config.max_batch_size == most


def test_the_python_backend_brings_its_program(job, tmp_path):
    config, _ = Repository(tmp_path, "python").write_network(job, 1e-3, "cpu")
    assert listed(tmp_path) == ["tiny/1/model.onnx", "tiny/1/model.py", "tiny/config.pbtxt"]
    assert (config.backend, config.default_model_filename) == ("python", "model.py")
    assert config.instance_group[0].kind == model_config_pb2.ModelInstanceGroup.KIND_CPU
    text = (tmp_path / "tiny" / "1" / "model.py").read_text()
    assert text == Path(triton_model.__file__).read_text()
    nodes = list(ast.walk(ast.parse(text)))
    modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    assert modules == {"ctypes", "pathlib", "typing", "numpy", "onnxruntime", "triton_python_backend_utils"}


def test_exporting_again_replaces_and_a_failure_leaves_the_old_one(job, tmp_path):
    repository = Repository(tmp_path, "onnxruntime")
    repository.write_network(job, 1e-3, "cpu")
    before = (tmp_path / "tiny" / "config.pbtxt").read_bytes()
    with pytest.raises(ExportError, match="^" + re.escape(f"{tmp_path / 'tiny'}: not written")):
        repository.write_network(replace(job, facts=replace(job.facts, sha256="2" * 64)), 1e-12, "cpu")
    assert (tmp_path / "tiny" / "config.pbtxt").read_bytes() == before
    repository.write_network(replace(job, facts=replace(job.facts, sha256="2" * 64)), 1e-3, "cpu")
    assert parameters_of(parsed(tmp_path / "tiny"))["checkpoint_sha256"] == "2" * 64
    assert listed(tmp_path) == ["tiny/1/model.onnx", "tiny/config.pbtxt"]
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"], "no temporary folder stays"


def test_a_server_never_sees_half_a_model(job, tmp_path, monkeypatch):
    check, seen = triton_repository.export_checked, []

    def checked(*arguments):
        agreement = check(*arguments)
        seen.append((listed(tmp_path / "models"), arguments[1].is_file()))
        return agreement

    monkeypatch.setattr(triton_repository, "export_checked", checked)
    Repository(tmp_path / "models", "onnxruntime").write_network(job, 1e-3, "cpu")
    assert seen == [([], True)], "what is being written is elsewhere"
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


@pytest.mark.parametrize("content", ['name: "tiny" backend: "python"', "no config", None])
def test_a_model_of_somebody_else_is_left_alone(job, tmp_path, content):
    (tmp_path / "tiny").mkdir()
    if content is not None:
        (tmp_path / "tiny" / "config.pbtxt").write_text(content)
    with pytest.raises(ExportError, match="tiny"):
        Repository(tmp_path, "onnxruntime").write_network(job, 1e-3, "cpu")
    assert listed(tmp_path) == (["tiny/config.pbtxt"] if content is not None else [])


NAMES = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=255)


@given(NAMES, NAMES)
def test_names_are_safe_and_tell_checkpoints_apart(one, other):
    name = model_name(one)
    assert name and set(name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-")
    assert not name.startswith(".") and len(name) <= MOST_NAME + 9
    assert model_name(name) == name
    assert (name == model_name(other)) == (one == other)


def test_usual_names_stay():
    for name in ("b7_111_DeepFakeClassifier_tf_efficientnet_b7_ns_0_last", "ckpt_x.pth", "xception-hg-2.pth"):
        assert model_name(name) == name


WIDE = replace(TINY, output=OUTPUT_SOFTMAX)


@given(
    st.lists(
        st.tuples(st.booleans(), st.floats(0.01, 100), st.lists(st.floats(-50, 50), min_size=4, max_size=4)),
        min_size=1,
        max_size=4,
    )
)
def test_the_weighted_score(members):
    import onnxruntime

    total = sum(weight for _, weight, _ in members)
    specs = [(f"logits_{i}", WIDE if wide else TINY) for i, (wide, _, _) in enumerate(members)]
    graph = weighting_graph(specs, [weight / total for _, weight, _ in members])
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    given, expected = {}, 0.0
    for (name, _), (wide, weight, values) in zip(specs, members):
        logits = np.array(values, np.float32).reshape((2, 2) if wide else (4, 1))[:2]
        given[name] = logits
        difference = logits[:, 1] - logits[:, 0] if wide else logits[:, 0]
        expected = expected + weight / total / (1 + np.exp(-difference.astype(np.float64)))
    (score,) = session.run(["score"], given)
    assert score.shape == (2, 1) and score.dtype == np.float32
    assert score[:, 0] == pytest.approx(expected, abs=1e-5)


def test_networks_that_see_the_same_share_the_ensembles_input(tmp_path):
    members = [served("a", weight=1), served("b", WIDE, weight=3)]
    Repository(tmp_path, "onnxruntime").write_ensemble("both", members)
    assert listed(tmp_path) == ["both-weighting/1/model.onnx", "both-weighting/config.pbtxt", "both/config.pbtxt"]
    assert (tmp_path / "both" / "1").is_dir()
    found = parsed(tmp_path / "both")
    assert found.platform == "ensemble"
    assert [(entry.name, list(entry.dims)) for entry in found.input] == [("pictures", [3, SIZE, SIZE])]
    assert [(entry.name, list(entry.dims)) for entry in found.output] == [("score", [1])]
    assert json.loads(parameters_of(found)["weights"]) == {"a": 0.25, "b": 0.75}
    *networks, weighting = found.ensemble_scheduling.step
    assert [step.model_name for step in networks] == ["a", "b"]
    made = [step.output_map["logits"] for step in networks]
    assert dict(weighting.input_map) == {tensor: tensor for tensor in made}
    inner = parsed(tmp_path / "both-weighting")
    assert {entry.name: list(entry.dims) for entry in inner.input} == {"logits_a": [1], "logits_b": [2]}
    assert inner.max_batch_size >= found.max_batch_size


@pytest.mark.parametrize("other", [replace(TINY, input_size=32), replace(TINY, normalization=SYMMETRIC)])
def test_networks_that_see_something_else_have_an_input_each(other, tmp_path):
    config = Repository(tmp_path, "onnxruntime").write_ensemble("both", [served("a"), served("b.pth", other)])
    sizes = {entry.name: list(entry.dims) for entry in config.input}
    assert sizes == {"pictures_a": [3, SIZE, SIZE], "pictures_b.pth": [3, other.input_size, other.input_size]}


def test_folding_the_normalization_in_makes_one_input(tmp_path):
    other = replace(TINY, normalization=SYMMETRIC)
    assert needs_folding([TINY, other])
    assert not needs_folding([TINY, WIDE]) and not needs_folding([TINY, replace(other, input_size=32)])
    members = [served("a", folded=True), served("b", other, folded=True)]
    config = Repository(tmp_path, "onnxruntime").write_ensemble("both", members)
    assert [entry.name for entry in config.input] == ["pictures"]


@pytest.mark.parametrize("name", ["a", "../a", "", "a b", "c"])
def test_names_that_an_ensemble_cannot_have(name, tmp_path):
    members = [served("a"), served("c-weighting")]
    with pytest.raises(ExportError, match="cannot be called"):
        Repository(tmp_path, "onnxruntime").write_ensemble(name, members)
    assert listed(tmp_path) == []


def test_tensorrt_computes_in_its_precision_and_takes_float32(job):
    facts = replace(job.facts, precision=FP16)
    config = triton_config.network_config("a", facts, "1" * 64, "tensorrt", "KIND_GPU", 1)
    assert (config.backend, config.default_model_filename) == ("tensorrt", "model.plan")
    assert parameters_of(config)["precision"] == "fp16"
    assert config.input[0].data_type == config.output[0].data_type == model_config_pb2.TYPE_FP32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a", "b", "--format", "onnx"], "expected one checkpoint; several go with --format triton"),
        (["a", "--format", "onnx", "--weights", "1"], "--weights goes with --format triton"),
        (["a", "--format", "onnx", "--triton-backend", "python"], "--triton-backend goes with --format triton"),
        (["--format", "triton"], "expected checkpoints, or --ensemble"),
        (["a", "--ensemble", "b", "--format", "triton"], "expected checkpoints, or --ensemble"),
        (["--ensemble", "b", "--weights", "1", "--format", "triton"], "--weights goes with checkpoints"),
        (["a", "x/a", "--format", "triton"], "expected checkpoints of different names"),
        (["a", "--weights", "1", "2", "--format", "triton"], "expected 1 numbers more than 0"),
        (["a", "--format", "triton", "--precision", "fp16"], "--precision fp16: onnx has float32"),
        (["a", "--format", "triton"], "a: no such checkpoint"),
        (["--ensemble", "nothing", "--format", "triton"], "nothing"),
    ],
)
def test_commands_that_make_no_sense(run_main, tmp_path, arguments, message):
    code, _, err = run_main(command.main, *arguments, "--out", tmp_path / "out")
    assert code == 2 and message in err
    assert not (tmp_path / "out").exists()

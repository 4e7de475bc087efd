"""Checkpoints: strict, safe, atomic, and able to read what was published in 2020."""

import argparse
import hashlib
import io
import math
import pickle
import resource
import socket
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from deepfake.checkpoints.checkpoint import load_model, load_weights, read_checkpoint, save_checkpoint
from deepfake.checkpoints.spec import ModelSpec
from deepfake.models.weight_files import CheckpointError, file_hash

TINY = ModelSpec("DeepFakeClassifier", {"encoder": "mobilenetv3_small_050"}, 64)
LEGACY_NAME = "tiny_DeepFakeClassifier_tf_efficientnet_b0_ns_0_last"


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return TINY.build().eval()


@pytest.fixture(scope="module")
def picture():
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def saved(network, tmp_path) -> Path:
    path = tmp_path / "tiny"
    save_checkpoint(path, network, TINY, epoch=4, bce_best=0.5)
    return path


def test_what_is_saved_is_loaded(network, saved, picture):
    loaded, spec = load_model(saved)
    assert spec == TINY
    assert not loaded.training
    assert torch.equal(loaded(picture), network(picture))
    assert read_checkpoint(saved).extra == {"epoch": 4, "bce_best": 0.5}
    assert [path.name for path in saved.parent.iterdir()] == ["tiny"]


def test_the_data_parallel_prefix_goes_both_ways(network, tmp_path, picture):
    path = tmp_path / "tiny"
    save_checkpoint(path, torch.nn.DataParallel(network), TINY)
    assert not any(key.startswith("module.") for key in read_checkpoint(path).state_dict)
    torch.save({"spec": TINY.to_dict(), "state_dict": torch.nn.DataParallel(network).state_dict()}, path)
    assert torch.equal(load_model(path)[0](picture), network(picture))


def test_half_precision_weights_are_computed_in_single(network, tmp_path):
    path = tmp_path / "tiny"
    state = {key: value.half() if value.is_floating_point() else value for key, value in network.state_dict().items()}
    torch.save({"spec": TINY.to_dict(), "state_dict": state}, path)
    loaded = load_model(path)[0]
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    assert torch.equal(loaded.fc.weight, network.fc.weight.half().float())


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("module", [b"numpy._core.multiarray", b"numpy.core.multiarray"])
@pytest.mark.parametrize("scalar", [np.float64(0.1875), np.float32(0.1875)])
def test_published_checkpoints_hold_their_metric_as_a_numpy_scalar(network, tmp_path, zipped, module, scalar):
    path = tmp_path / "tiny"
    content = {"spec": TINY.to_dict(), "state_dict": network.state_dict(), "bce_best": scalar, "epoch": 3}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    _rename_module(path, scalar.__reduce__()[0].__module__.encode(), module, zipped)
    assert read_checkpoint(path).extra == {"bce_best": 0.1875, "epoch": 3}


def _rename_module(path: Path, old: bytes, new: bytes, zipped: bool) -> None:
    """Rewrites the module that numpy's scalars are pickled by: its name changed with numpy 2."""
    if not zipped:
        path.write_bytes(path.read_bytes().replace(old, new))
        return
    with zipfile.ZipFile(path) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members:
            archive.writestr(name, data.replace(old, new) if name.endswith("data.pkl") else data)


def test_the_reference_checkpoint_in_the_published_layout_loads(reference_checkpoint):
    loaded, spec = load_model(reference_checkpoint)
    assert (spec.options, spec.input_size) == ({"encoder": "tf_efficientnet_b2_ns"}, 380)
    assert sum(parameter.numel() for parameter in loaded.parameters()) > 9_000_000


class _Malicious:
    """Unpickled with the full pickle protocol, it writes a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


@pytest.mark.parametrize(
    ("name", "architecture"), [("xception-hg-2.pth", "xception"), ("ckpt_e.pth", "wsdan_efficientnet_b3")]
)
def test_second_places_checkpoints_load_under_their_published_keys(tmp_path, reference, name, architecture):
    entry = reference("models")[
        {"xception": "xception", "wsdan_efficientnet_b3": "WSDAN:efficientnet-b3"}[architecture]
    ]
    state = {key: torch.zeros(shape) for key, shape in entry["keys"].items()}
    state[next(iter(state))] += 1
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / name)
    loaded, spec = load_model(tmp_path / name)
    assert spec.architecture == architecture
    first = next(loaded.parameters())
    assert first.min() == first.max() == 1
    state.popitem()
    torch.save({"state_dict": state}, tmp_path / name)
    with pytest.raises(CheckpointError, match=rf"{name}: the weights do not fit {architecture} .*1 keys missing: "):
        load_model(tmp_path / name)


@pytest.mark.parametrize("layout", ["zip", "legacy", "pickle"])
def test_a_checkpoint_that_carries_code_is_refused_and_nothing_runs(network, tmp_path, layout):
    path, trace = tmp_path / "evil", tmp_path / "trace"
    content = {"spec": TINY.to_dict(), "state_dict": network.state_dict(), "extra": _Malicious(trace)}
    if layout == "pickle":
        path.write_bytes(pickle.dumps({"extra": _Malicious(trace)}))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=layout == "zip")
    with pytest.raises(CheckpointError, match="evil: refused"):
        load_model(path)
    assert not trace.exists()
    torch.load(path, weights_only=False) if layout != "pickle" else pickle.loads(path.read_bytes())
    assert trace.exists()  # the trap was real


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_truncated_anywhere_is_a_clear_error(network, tmp_path, zipped):
    path = tmp_path / "cut"
    buffer = io.BytesIO()
    content = {"spec": TINY.to_dict(), "state_dict": network.state_dict()}
    torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
    data = buffer.getvalue()
    for length in [0, 1, 2, 5, 17, 100, 1000, *(len(data) * part // 20 for part in range(1, 20)), len(data) - 1]:
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match="cut"):
            load_model(path)


def test_something_else_is_a_clear_error(tmp_path):
    path = tmp_path / "odd"
    with pytest.raises(CheckpointError, match="odd: no such checkpoint"):
        read_checkpoint(path)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        read_checkpoint(tmp_path)
    for content, message in [
        ([1, 2], "holds a list"),
        ({"epoch": 1}, "holds no 'state_dict' of tensors"),
        ({"state_dict": {"weight": 3}}, "holds no 'state_dict' of tensors"),
        ({"state_dict": {}, "spec": {"format": 99}}, "format: expected 1; found 99"),
        ({"state_dict": {}}, "carries no model spec, and its name is not that of a published checkpoint"),
    ]:
        torch.save(content, path)
        with pytest.raises(CheckpointError, match=message):
            read_checkpoint(path)


def test_weights_of_another_architecture_name_the_keys(network, tmp_path):
    path = tmp_path / LEGACY_NAME  # by its name EfficientNet-B0
    torch.save({"state_dict": network.state_dict()}, path)
    with pytest.raises(CheckpointError) as raised:
        load_model(path)
    message = str(raised.value)
    assert LEGACY_NAME in message
    assert "keys missing: encoder." in message
    assert "keys unexpected: encoder." in message
    assert "keys of another shape: encoder." in message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("fc.bias"), "1 keys missing: fc.bias"),
        (lambda state: state.update({"fc.extra": torch.zeros(1)}), "1 keys unexpected: fc.extra"),
        (lambda state: state.update({"fc.bias": torch.zeros(2)}), r"fc.bias \(2,\) instead of \(1,\)"),
    ],
)
def test_one_key_that_does_not_fit_is_named(network, saved, change, message):
    checkpoint = read_checkpoint(saved)
    change(checkpoint.state_dict)
    with pytest.raises(CheckpointError, match=message):
        load_weights(network, checkpoint)


def test_an_unknown_architecture_names_the_file_and_the_known(network, tmp_path):
    path = tmp_path / "future"
    torch.save({"spec": {**TINY.to_dict(), "architecture": "Future"}, "state_dict": network.state_dict()}, path)
    with pytest.raises(CheckpointError, match="future: architecture 'Future' unknown; expected one of"):
        load_model(path)


# Weights that no score may come from.


def poisoned(network, key: str, value: float) -> dict:
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state[key].view(-1)[0] = value
    return state


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("key", ["encoder.conv_stem.weight", "encoder.bn1.running_mean", "encoder.bn1.bias", "fc.bias"])
def test_weights_that_are_not_finite_are_refused(network, tmp_path, key, value):
    path = tmp_path / "tiny"
    torch.save({"spec": TINY.to_dict(), "state_dict": poisoned(network, key, value)}, path)
    with pytest.raises(CheckpointError, match=f"^{path}: {key}: 1 of .* numbers are not finite"):
        load_model(path)


def test_a_negative_variance_and_numbers_beyond_float32_are_refused(network, tmp_path):
    path = tmp_path / "tiny"
    torch.save({"spec": TINY.to_dict(), "state_dict": poisoned(network, "encoder.bn1.running_var", -0.5)}, path)
    with pytest.raises(
        CheckpointError, match=r"tiny: encoder\.bn1\.running_var: a variance of -0\.5; expected 0 or more"
    ):
        load_model(path)
    double = {key: value.double() for key, value in network.state_dict().items()}
    double["fc.bias"][0] = 1e300
    torch.save({"spec": TINY.to_dict(), "state_dict": double}, path)
    with pytest.raises(CheckpointError, match=r"tiny: fc\.bias: 1 of 1 numbers are not finite"):
        load_model(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda v: v.to(torch.int8),
            r"keys of another kind of number: fc\.weight torch\.int8 instead of torch\.float32",
        ),
        (lambda v: v.to(torch.int64), r"fc\.weight torch\.int64 instead of torch\.float32"),
        (lambda v: v > 0, r"fc\.weight torch\.bool instead of torch\.float32"),
        (lambda v: v.to(torch.complex64), r"fc\.weight: complex numbers; expected a dense tensor"),
        (lambda v: v.to_sparse(), r"fc\.weight: a sparse tensor"),
        (lambda v: v.to("meta"), r"fc\.weight: a tensor without values"),
        (lambda v: v[:, :1].clone().expand_as(v), r"fc\.weight: a tensor of shape .* that repeats fewer numbers"),
        (lambda v: v.to_sparse_csr(), r"fc\.weight: a sparse tensor"),
    ],
)
def test_weights_of_another_kind_are_refused(network, tmp_path, change, message):
    path = tmp_path / "tiny"
    torch.save(
        {"spec": TINY.to_dict(), "state_dict": {**network.state_dict(), "fc.weight": change(network.fc.weight.data)}},
        path,
    )
    with pytest.raises(CheckpointError, match=message):
        load_model(path)


# Files as people keep them.


@pytest.mark.parametrize(
    "prefix",
    ["module.", "_orig_mod.", "model.", "module._orig_mod.", "_orig_mod.module.", "model.module.", "model.model."],
)
@pytest.mark.parametrize("container", ["state_dict", "model", "model_state_dict"])
def test_what_a_network_was_wrapped_in_is_taken_off(network, tmp_path, picture, prefix, container):
    path = tmp_path / "tiny"
    torch.save({"spec": TINY.to_dict(), container: {prefix + k: v for k, v in network.state_dict().items()}}, path)
    assert torch.equal(load_model(path)[0](picture), network(picture))


def test_a_prefix_of_another_name_is_named(network, tmp_path):
    path = tmp_path / "tiny"
    torch.save({"spec": TINY.to_dict(), "state_dict": {f"net.{k}": v for k, v in network.state_dict().items()}}, path)
    with pytest.raises(CheckpointError, match=r"all are there behind the prefix 'net\.': save them without it"):
        load_model(path)
    both = {**network.state_dict(), "module.fc.bias": torch.zeros(1)}
    torch.save({"spec": TINY.to_dict(), "state_dict": both}, path)
    with pytest.raises(CheckpointError, match="keys are there with and without the prefixes"):
        load_model(path)


@pytest.mark.parametrize("kind", ["bfloat16", "float16", "float64"])
def test_other_floats_and_no_counters_are_read(network, tmp_path, kind):
    path = tmp_path / "tiny"
    state = {k: v.to(getattr(torch, kind)) for k, v in network.state_dict().items()}  # counters become floats too
    torch.save({"spec": TINY.to_dict(), "state_dict": state}, path)
    assert {parameter.dtype for parameter in load_model(path)[0].parameters()} == {torch.float32}
    torch.save({"spec": TINY.to_dict(), "state_dict": {k: v for k, v in state.items() if "num_batches" not in k}}, path)
    load_model(path)


def test_what_a_file_holds_beyond_tensors_is_named(network, tmp_path):
    path = tmp_path / "tiny"
    for value, name in ((argparse.Namespace(), "argparse.Namespace"), (Path("a"), r"pathlib\.(_local\.)?PosixPath")):
        torch.save({"spec": TINY.to_dict(), "state_dict": network.state_dict(), "args": value}, path)
        with pytest.raises(CheckpointError, match=f"refused: it holds a {name}, .* save its 'spec' and 'state_dict'"):
            load_model(path)


# Specs that promise what the file does not hold.


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"options": {"encoder": "eva_giant_patch14_224"}}, "the weights do not fit .*eva_giant"),
        ({"options": {**TINY.options, "pretrained": True}}, r"options\.pretrained: not an option here"),
        ({"options": {"encoder": ["a"]}}, "options"),
        ({"options": {"encoder": "hf-hub:someone/network"}}, "knows no such network"),
        ({"output": "softmax"}, r"output: softmax takes 2 numbers a face; .* gives \(1,\)"),
        ({"input_size": True}, "input_size: expected a whole number from 1 to 4096; found True"),
        ({"input_size": 10**6}, "input_size: expected a whole number"),
        ({"training": 3}, "training: expected a mapping"),
        ({"architecture": ["a"]}, "architecture: expected a text"),
    ],
)
def test_a_spec_that_the_file_does_not_hold_is_refused(network, tmp_path, monkeypatch, change, message):
    def no_network(*arguments, **options):
        raise AssertionError("a checkpoint made its reader call out")

    monkeypatch.setattr(socket, "create_connection", no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    path = tmp_path / "tiny"
    torch.save({"spec": {**TINY.to_dict(), **change}, "state_dict": network.state_dict()}, path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match=f"^{path}: .*{message}") as raised:
        load_model(path)
    assert len(str(raised.value).splitlines()) == 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


def test_a_network_that_takes_other_pictures_is_refused(tmp_path):
    path, spec = tmp_path / "tiny", replace(TINY, options={"encoder": "vit_tiny_patch16_224"})
    save_checkpoint(path, spec.build(), spec)
    with pytest.raises(CheckpointError, match=r"vit_tiny_patch16_224.* cannot score pictures of 64 pixels"):
        load_model(path)


def test_a_failed_save_keeps_the_old_file(network, saved):
    before = saved.read_bytes()
    with pytest.raises((AttributeError, pickle.PicklingError, TypeError)):
        save_checkpoint(saved, network, TINY, extra=lambda: None)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["tiny"]


def test_the_hash_is_sha256(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 3_000_001)
    assert file_hash(path) == hashlib.sha256(b"x" * 3_000_001).hexdigest()

"""Checkpoints: strict, safe, atomic, and able to read what was published in 2020."""

import hashlib
import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from deepfake.checkpoints import CheckpointError, file_hash, load_model, load_weights, read_checkpoint, save_checkpoint
from deepfake.spec import ModelSpec

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
    for content, told in [
        ([1, 2], "holds a list"),
        ({"epoch": 1}, "holds no 'state_dict' of tensors"),
        ({"state_dict": {"weight": 3}}, "holds no 'state_dict' of tensors"),
        ({"state_dict": {}, "spec": {"format": 99}}, "format 99"),
        ({"state_dict": {}}, "carries no model spec, and its name is not that of a published checkpoint"),
    ]:
        torch.save(content, path)
        with pytest.raises(CheckpointError, match=told):
            read_checkpoint(path)


def test_weights_of_another_architecture_name_the_keys(network, tmp_path):
    path = tmp_path / LEGACY_NAME  # by its name EfficientNet-B0
    torch.save({"state_dict": network.state_dict()}, path)
    with pytest.raises(CheckpointError) as raised:
        load_model(path)
    told = str(raised.value)
    assert LEGACY_NAME in told
    assert "keys missing: encoder." in told
    assert "keys unexpected: encoder." in told
    assert "keys of another shape: encoder." in told


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda state: state.pop("fc.bias"), "1 keys missing: fc.bias"),
        (lambda state: state.update({"fc.extra": torch.zeros(1)}), "1 keys unexpected: fc.extra"),
        (lambda state: state.update({"fc.bias": torch.zeros(2)}), r"fc.bias \(2,\) instead of \(1,\)"),
    ],
)
def test_one_key_that_does_not_fit_is_named(network, saved, change, told):
    checkpoint = read_checkpoint(saved)
    change(checkpoint.state_dict)
    with pytest.raises(CheckpointError, match=told):
        load_weights(network, checkpoint)


def test_an_unknown_architecture_names_the_file_and_the_known(network, tmp_path):
    path = tmp_path / "future"
    torch.save({"spec": {**TINY.to_dict(), "architecture": "Future"}, "state_dict": network.state_dict()}, path)
    with pytest.raises(CheckpointError, match="future: architecture 'Future' unknown; expected one of"):
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

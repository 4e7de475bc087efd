"""The networks are the published ones: same keys and shapes, same outputs for the same weights."""

import importlib.util

import pytest
import torch

from deepfake.models import build_model, model_names, register

FIRST_PLACE = [
    "DeepFakeClassifier:tf_efficientnet_b2_ns",
    "DeepFakeClassifier:tf_efficientnet_b5_ns",
    "DeepFakeClassifier:tf_efficientnet_b7_ns",
    "DeepFakeClassifierSRM:tf_efficientnet_b2_ns",
    "DeepFakeClassifierGWAP:tf_efficientnet_b2_ns",
]


@pytest.fixture(scope="module")
def recorded(shared):
    """fill.py, by whose weights and inputs the outputs were recorded."""
    path = shared / "reference" / "fill.py"
    spec = importlib.util.spec_from_file_location("fill", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_first_place_entry_is_tested(reference):
    assert {name for name in reference("models") if name.startswith("DeepFake")} == set(FIRST_PLACE)


@pytest.fixture
def one_thread():
    """Threads that wait for each other are slow where other processes work too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", FIRST_PLACE)
@pytest.mark.usefixtures("one_thread")
def test_agrees_with_the_published_network(name, recorded, reference):
    entry = reference("models")[name]
    architecture, encoder = name.split(":")
    network = build_model(architecture, encoder=encoder).double().eval()
    state = network.state_dict()
    assert {key: list(value.shape) for key, value in state.items()} == entry["keys"]
    recorded.fill(state)  # in place: these are the network's own tensors
    with torch.inference_mode():
        output = network(recorded.reference_input(entry["size"]))
    (expected,) = entry["outputs"]
    assert list(output.shape) == expected["shape"]
    assert output.flatten().tolist() == pytest.approx(expected["values"], rel=1e-6)


def test_unknown_names_list_the_known():
    with pytest.raises(ValueError, match="'Nonesuch' unknown; expected one of DeepFake"):
        build_model("Nonesuch")
    with pytest.raises(ValueError, match=r"timm .* knows no such network"):
        build_model("DeepFakeClassifier", encoder="no_such_network")


def test_a_name_is_registered_once():
    assert "DeepFakeClassifier" in model_names()
    with pytest.raises(KeyError, match="registered twice"):
        register("DeepFakeClassifier")(lambda: None)


@pytest.mark.parametrize("architecture", ["DeepFakeClassifier", "DeepFakeClassifierSRM", "DeepFakeClassifierGWAP"])
def test_options_reach_the_network(architecture):
    network = build_model(architecture, encoder="tf_efficientnet_b0", drop_path_rate=0.3, dropout=0.25)
    assert network.dropout.p == 0.25
    assert network.encoder.blocks[-1][-1].drop_path.drop_prob > 0.25  # grows with depth, up to the rate


def test_noise_kernels_are_fixed():
    network = build_model("DeepFakeClassifierSRM", encoder="mobilenetv3_small_050")
    assert not network.srm_conv.weight.requires_grad
    flat = torch.full((1, 3, 16, 16), 7.0)
    assert network.srm_conv(flat)[..., 4:-4, 4:-4].abs().max() < 1e-5  # a flat picture has no noise

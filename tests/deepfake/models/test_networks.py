"""The networks are the published ones: same keys and shapes, same outputs for the same weights."""

import pytest
import torch

from deepfake.models import build_model, model_names, published_to_own, register
from deepfake.models.encoders import create_encoder

pytestmark = pytest.mark.slow

FIRST_PLACE = [
    "DeepFakeClassifier:tf_efficientnet_b2_ns",
    "DeepFakeClassifier:tf_efficientnet_b5_ns",
    "DeepFakeClassifier:tf_efficientnet_b7_ns",
    "DeepFakeClassifierSRM:tf_efficientnet_b2_ns",
    "DeepFakeClassifierGWAP:tf_efficientnet_b2_ns",
]

SECOND_PLACE = {
    "xception": "xception",
    "WSDAN:xception": "wsdan_xception",
    "WSDAN:efficientnet-b3": "wsdan_efficientnet_b3",
}


def test_every_entry_is_tested(reference):
    assert set(reference("models")) == {*FIRST_PLACE, *SECOND_PLACE}


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


@pytest.mark.parametrize("name", SECOND_PLACE)
@pytest.mark.usefixtures("one_thread")
def test_second_places_networks_agree_too(name, recorded, reference):
    entry, architecture = reference("models")[name], SECOND_PLACE[name]
    network = build_model(architecture).double().eval()
    own, own_key = network.state_dict(), published_to_own(architecture)
    assert {own_key(key): shape for key, shape in entry["keys"].items()} == {k: list(v.shape) for k, v in own.items()}
    published = {key: own[own_key(key)].clone() for key in entry["keys"]}
    recorded.fill(published)  # by the published names
    network.load_state_dict({own_key(key): value for key, value in published.items()})
    image = recorded.reference_input(entry["size"])
    with torch.inference_mode():
        outputs = [network(image)]
        if architecture != "xception":
            attended = network(image, attended=True)
            assert torch.equal(attended.logits, outputs[0])
            outputs = [attended.logits, attended.feature_matrix, attended.attention.mean(1, keepdim=True)]
    for output, expected in zip(outputs, entry["outputs"], strict=True):
        assert list(output.shape) == expected["shape"]
        assert output.flatten()[: len(expected["values"])].tolist() == pytest.approx(expected["values"], rel=1e-6)
        assert output.sum().item() == pytest.approx(expected["sum"], rel=1e-6)
        assert output.abs().sum().item() == pytest.approx(expected["abs_sum"], rel=1e-6)


def test_the_published_paddings_do_not_follow_the_input():
    with torch.inference_mode():
        image = torch.zeros(1, 3, 300, 300)
        published = build_model("wsdan_efficientnet_b3").eval()(image, attended=True).attention
        todays = create_encoder("tf_efficientnet_b3").eval().forward_features(image)
    assert (published.shape[2:], todays.shape[2:]) == ((9, 9), (10, 10))


def test_dropped_maps_leave_the_matrix_alone():
    torch.manual_seed(0)
    network = build_model("wsdan_xception").eval()
    with torch.inference_mode():
        plain = network(image := torch.randn(4, 3, 96, 96), attended=True)
        dropped = network(image, attended=True, drop_maps=True)
    torch.testing.assert_close(plain.feature_matrix, dropped.feature_matrix)
    assert not torch.allclose(plain.logits, dropped.logits)
    assert plain.feature_matrix.norm(dim=1).tolist() == pytest.approx([1] * 4, abs=1e-5)
    assert plain.attention.min() >= 0 and plain.attention.shape == (4, 8, 3, 3)


def test_unknown_names_list_the_known():
    with pytest.raises(ValueError, match="'Nonesuch' unknown; expected one of DeepFake"):
        build_model("Nonesuch")
    with pytest.raises(ValueError, match=r"timm .* knows no such network"):
        build_model("DeepFakeClassifier", encoder="no_such_network")


def test_a_name_is_registered_once():
    assert "DeepFakeClassifier" in model_names()
    with pytest.raises(KeyError, match="registered twice"):
        register("DeepFakeClassifier", "classifier")(lambda: None)


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

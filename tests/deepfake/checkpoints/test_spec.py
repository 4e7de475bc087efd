"""The model spec: what is written is read, what is not understood is refused, published names are known."""

import json
import math
from dataclasses import replace

import pytest
import torch

from deepfake.checkpoints.published_specs import legacy_spec
from deepfake.checkpoints.spec import ModelSpec, fake_probability
from deepfake.faces.detectors import PRESETS, RetinaFaceSettings
from deepfake.faces.recipes import AlignRecipe, CropRecipe, recipe_to_dict
from deepfake.media.images import Normalization
from deepfake.published import NAMES

SPEC = ModelSpec(
    architecture="DeepFakeClassifier",
    options={"encoder": "mobilenetv3_small_050"},
    input_size=64,
    normalization=Normalization((0.1, 0.2, 0.3), (0.4, 0.5, 0.6)),
    crop=CropRecipe(settings=PRESETS["training"], margin=5),
    training={"fold": 3, "metric": 0.25},
)


def test_a_spec_survives_plain_json():
    assert ModelSpec.from_dict(json.loads(json.dumps(SPEC.to_dict()))) == SPEC


def test_a_spec_of_aligned_faces_survives_plain_json():
    settings = RetinaFaceSettings("mobilenet0.25", confidence=0.5, nms=None, scale=None)
    for recipe in (AlignRecipe(), AlignRecipe(settings, 160), AlignRecipe(PRESETS["prediction"])):
        spec = replace(SPEC, crop=recipe, output="softmax")
        assert ModelSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_checkpoints_of_before_there_were_kinds_of_faces_are_read():
    content = SPEC.to_dict()
    del content["crop"]["kind"]
    assert ModelSpec.from_dict(content) == SPEC


def test_training_facts_are_added():
    assert SPEC.with_training(epoch=7).training == {"fold": 3, "metric": 0.25, "epoch": 7}
    assert SPEC.training == {"fold": 3, "metric": 0.25}


def aligned(size=320, **settings) -> dict:
    content = recipe_to_dict(AlignRecipe())
    return {**content, "size": size, "settings": {**content["settings"], **settings}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(format=99), "format: expected 1; found 99"),
        (lambda c: c.pop("format"), "format: expected 1; found None"),
        (lambda c: c.pop("crop"), "crop: expected a value; the key is missing"),
        (lambda c: c.pop("normalization"), "normalization: expected a value; the key is missing"),
        (lambda c: c.pop("architecture"), "architecture: expected a value; the key is missing"),
        (lambda c: c.update(surprise=1), "surprise"),
        (lambda c: c["crop"].update(surprise=1), "surprise"),
        (lambda c: c["crop"].update(kind="cubist"), r"crop\.kind: expected one of crop, aligned; found 'cubist'"),
        (
            lambda c: c["crop"].update(detector="hog"),
            r"crop\.detector: expected one of mtcnn, none, retinaface; found 'hog'",
        ),
        (lambda c: c["crop"].pop("detector"), r"crop\.detector: expected one of mtcnn, none, retinaface; found None"),
        (lambda c: c["crop"].pop("settings"), r"crop\.settings: expected a mapping; found None"),
        (lambda c: c["crop"]["settings"].pop("thresholds"), r"crop\.settings\.thresholds: expected a value"),
        (lambda c: c.update(crop=[1]), "crop: expected a mapping; found"),
        (lambda c: c.update(input_size=0), "input_size: expected a whole number from 1 to 4096; found 0"),
        (lambda c: c.update(input_size="380"), "input_size: .*found '380'"),
        (lambda c: c.update(input_size=10**9), "input_size: "),
        (lambda c: c.update(output="three wishes"), "output: expected one of logit, softmax; found 'three wishes'"),
        (lambda c: c.update(normalization=3), "normalization: expected a mapping; found 3"),
        (lambda c: c.update(input_size=True), "input_size: expected a whole number from 1 to 4096; found True"),
        (lambda c: c.update(input_size=64.0), "input_size: expected a whole number"),
        (
            lambda c: c["normalization"].update(std=[0.5, 0, 0.5]),
            r"normalization.std\[1\]: expected a number from 0.001 to 100",
        ),
        (lambda c: c["normalization"].update(std=[0.5, math.nan, 0.5]), "normalization.std.1.: .* found nan"),
        (lambda c: c["normalization"].update(mean=[0.5, math.inf, 0.5]), "normalization.mean.1.: .* found inf"),
        (lambda c: c["normalization"].update(mean=[0.5, 0.5]), "normalization.mean: expected a list of 3 numbers"),
        (lambda c: c["normalization"].update(mean=[0.5, True, 0.5]), "normalization.mean.1.: .* found True"),
        (lambda c: c.update(options={"pretrained": True}), r"options\.pretrained: not an option"),
        (lambda c: c.update(options=[]), "options: expected a mapping"),
        (lambda c: c["crop"].update(margin=0), r"crop\.margin: expected a whole number from 1 to 1000; found 0"),
        (
            lambda c: c["crop"]["settings"].update(factor=1.0),
            r"crop\.settings\.factor: expected a number from 0.05 to 0.95",
        ),
        (lambda c: c["crop"]["settings"].update(factor=2.0), r"crop\.settings\.factor: "),
        (lambda c: c["crop"]["settings"].update(factor=1 - 1e-9), r"crop\.settings\.factor: "),
        (
            lambda c: c["crop"]["settings"].update(thresholds=[0.7, 0, 0.7]),
            r"crop\.settings\.thresholds.1.: .* found 0",
        ),
        (
            lambda c: c["crop"]["settings"].update(thresholds=[0.7, 0.7]),
            r"crop\.settings\.thresholds: expected a list of 3 numbers",
        ),
        (lambda c: c["crop"]["settings"].update(min_face=0), r"crop\.settings\.min_face: "),
        (lambda c: c["crop"]["settings"].update(min_face=True), r"crop\.settings\.min_face: "),
        (lambda c: c["crop"]["settings"].update(scale=1000), r"crop\.settings\.scale: "),
        (lambda c: c["crop"]["settings"].update(scale="large"), r"crop\.settings\.scale: "),
        (lambda c: c["crop"]["settings"].update(min_share=-1), r"crop\.settings\.min_share: "),
        (lambda c: c.update(crop=aligned(size=0)), r"crop\.size: expected a whole number from 1 to 4096; found 0"),
        (lambda c: c.update(crop=aligned(size=10**6)), r"crop\.size: "),
        (lambda c: c.update(crop=aligned(size="a")), r"crop\.size: .* found 'a'"),
        (lambda c: c.update(crop=aligned(nms=2)), r"crop\.settings\.nms: "),
        (lambda c: c.update(crop=aligned(confidence=math.nan)), r"crop\.settings\.confidence: "),
        (lambda c: c.update(crop=aligned(network="vgg")), r"crop\.settings\.network: .*'vgg' unknown"),
        (lambda c: c.update(output=["logit"]), "output: "),
        (lambda c: c["crop"].update(kind=["crop"]), r"crop\.kind: expected one of"),
    ],
)
def test_what_is_not_understood_is_refused(change, message):
    content = json.loads(json.dumps(SPEC.to_dict()))
    change(content)
    with pytest.raises(ValueError, match=message) as raised:
        ModelSpec.from_dict(content)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize("name", NAMES)
def test_published_checkpoints_need_no_spec(name):
    spec = legacy_spec(name)
    assert spec is not None
    assert (spec.architecture, spec.options) == ("DeepFakeClassifier", {"encoder": "tf_efficientnet_b7_ns"})
    assert spec.input_size == 380
    assert spec.crop == CropRecipe(settings=PRESETS["prediction"], margin=3)


@pytest.mark.parametrize(
    ("name", "architecture", "encoder"),
    [
        ("b5_DeepFakeClassifierSRM_tf_efficientnet_b5_ns_2_last", "DeepFakeClassifierSRM", "tf_efficientnet_b5_ns"),
        ("DeepFakeClassifierGWAP_tf_efficientnet_b4_ns_0_best_dice", "DeepFakeClassifierGWAP", "tf_efficientnet_b4_ns"),
    ],
)
def test_published_names_tell_the_variant(name, architecture, encoder):
    spec = legacy_spec(name)
    assert spec is not None
    assert (spec.architecture, spec.options["encoder"]) == (architecture, encoder)


@pytest.mark.parametrize(
    ("name", "architecture", "input_size", "mean"),
    [
        ("xception-hg-2.pth", "xception", 299, 0.5),
        ("ckpt_x.pth", "wsdan_xception", 320, 0.4479),
        ("ckpt_e.pth", "wsdan_efficientnet_b3", 300, 0.4479),
    ],
)
def test_second_places_checkpoints_are_known(name, architecture, input_size, mean):
    spec = legacy_spec(name)
    assert spec is not None
    assert (spec.architecture, spec.options, spec.input_size) == (architecture, {}, input_size)
    assert spec.normalization.mean[0] == mean and spec.output == "softmax"
    settings = RetinaFaceSettings("resnet50", confidence=0.8, nms=None, scale=1.0)
    assert spec.crop == AlignRecipe(settings, 320)


def test_outputs_are_probabilities_of_fake():
    logits = torch.tensor([[0.0], [2.0]])
    assert fake_probability(logits, "logit").tolist() == pytest.approx([0.5, 0.880797])
    pairs = torch.tensor([[1.0, 1.0], [0.0, 2.0], [2.0, 0.0]])
    assert fake_probability(pairs, "softmax").tolist() == pytest.approx([0.5, 0.880797, 0.119203])


@pytest.mark.parametrize(
    "name", ["my_ckpt_x.pth", "model.pt", "", "DeepFakeClassifier", "DeepFakeClassifier_resnet50_0_1"]
)
def test_other_names_have_no_legacy_spec(name):
    assert legacy_spec(name) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "Nonesuch"}, "'Nonesuch' unknown; expected one of DeepFakeClassifier"),
        ({"options": {"encoder": "no_such_network"}}, "no_such_network"),
        ({"options": {}}, "encoder"),
        ({"options": {"encoder": "mobilenetv3_small_050", "wings": 2}}, "wings"),
    ],
)
def test_a_network_that_cannot_be_built_is_a_clear_error(change, message):
    with pytest.raises(ValueError, match=message):
        replace(SPEC, **change).build()

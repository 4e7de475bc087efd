import copy
import json

import pytest

from deepfake.media.images import SECOND_PLACE, SYMMETRIC
from deepfake.models import model_names
from tests.data.training_sets import TINY
from training.config import (
    AttentionConfig,
    ConfigError,
    FrameShare,
    TrainConfig,
    WSDANConfig,
    WSDANLosses,
    XceptionConfig,
    parse_config,
    read_config,
)
from training.engine.optim import build_schedule

KINDS = (TrainConfig, XceptionConfig, WSDANConfig)
SHIPPED = {
    **dict.fromkeys(("b5", "b7", "tiny"), TrainConfig),
    **dict.fromkeys(("xception", "tiny_xception"), XceptionConfig),
    **dict.fromkeys(("wsdan_xception", "wsdan_efb3", "tiny_wsdan_xception", "tiny_wsdan_efb3"), WSDANConfig),
}


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_configs_are_read_and_written_back(project_root, name):
    config = read_config(project_root / "configs" / f"{name}.json", SHIPPED[name])
    assert parse_config(json.loads(json.dumps(config.to_dict())), "copy", SHIPPED[name]) == config
    assert parse_config(config.to_dict(), "copy", SHIPPED[name]) == config


def test_every_shipped_config_is_listed_here(project_root):
    assert sorted(path.stem for path in (project_root / "configs").glob("*.json")) == sorted(SHIPPED)


@pytest.mark.parametrize(("name", "batch_size", "epochs", "max_iter"), [("b7", 12, 40, 100500), ("b5", 20, 30, 75100)])
def test_published_figures(project_root, name, batch_size, epochs, max_iter):
    config = read_config(project_root / "configs" / f"{name}.json")
    optimizer = config.optimizer
    assert (config.network, config.encoder) == ("DeepFakeClassifier", f"tf_efficientnet_{name}_ns")
    assert (config.size, config.batches_per_epoch, config.pretrained) == (380, 2500, True)
    assert (optimizer.type, optimizer.learning_rate, optimizer.momentum, optimizer.nesterov) == ("SGD", 0.01, 0.9, True)
    assert (optimizer.batch_size, optimizer.weight_decay, config.epochs) == (batch_size, 1e-4, epochs)
    assert (optimizer.schedule.type, optimizer.schedule.mode) == ("poly", "step")
    assert optimizer.schedule.params == {"max_iter": max_iter}
    assert optimizer.max_gradient_norm == 1.0


def test_published_figures_of_xception(project_root):
    config = read_config(project_root / "configs" / "xception.json", XceptionConfig)
    assert (config.network, config.size, config.normalize, config.pretrained) == ("xception", 299, SYMMETRIC, True)
    assert config.frame_share == FrameShare(real=0.25, fake=0.05)
    assert rates(config, 5) == pytest.approx([0.01, 0.01, 0.002, 0.002, 0.0004])
    optimizer = config.optimizer
    assert (optimizer.type, optimizer.momentum, optimizer.weight_decay) == ("SGD", 0.9, 1e-4)
    assert (optimizer.batch_size, config.epochs, optimizer.max_gradient_norm) == (128, 50, None)


@pytest.mark.parametrize(
    ("name", "network", "size"),
    [("wsdan_xception", "wsdan_xception", 320), ("wsdan_efb3", "wsdan_efficientnet_b3", 300)],
)
def test_published_figures_of_wsdan(project_root, name, network, size):
    config = read_config(project_root / "configs" / f"{name}.json", WSDANConfig)
    assert (config.network, config.size, config.normalize, config.pretrained) == (network, size, SECOND_PLACE, True)
    assert (config.frames_per_video, config.frame_stride) == (20, 12)
    assert (config.centre_beta, config.centre_growth) == (0.05, 2)
    assert config.attention == AttentionConfig() == AttentionConfig((0.4, 0.6), (0.4, 0.7), 0.1, 0.1, 0.05)
    assert config.losses == WSDANLosses() == WSDANLosses(1, 1 / 3, 1 / 2, 1)
    assert rates(config, 3) == pytest.approx([1e-3, 0.95e-3, 0.95**2 * 1e-3])
    optimizer = config.optimizer
    assert (optimizer.type, optimizer.momentum, optimizer.weight_decay) == ("SGD", 0.9, 1e-5)
    assert (optimizer.batch_size, config.epochs, optimizer.max_gradient_norm) == (10, 60, None)


def rates(config, epochs: int) -> list[float]:
    """The learning rates of the first epochs."""
    schedule = config.optimizer.schedule
    assert schedule.mode == "epoch"
    return [build_schedule(schedule, config.optimizer.learning_rate)(n) for n in range(epochs)]


def test_every_network_belongs_to_one_task():
    names = [name for kind in KINDS for name in model_names(kind.task)]
    assert sorted(names) == model_names()


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("kind", KINDS)
def test_the_config_of_another_task_names_its_program(project_root, name, kind):
    if kind is SHIPPED[name]:
        return
    program = rf"is trained by training/pipelines/train_{SHIPPED[name].task}\.py"
    known = model_names(kind.task)[0]
    with pytest.raises(ConfigError, match=rf"{name}\.json: network: expected one of {known}.*{program}"):
        read_config(project_root / "configs" / f"{name}.json", kind)


def changed(path: str, value, content=TINY) -> dict:
    """A config with the value at a dotted path replaced, or removed for `...`."""
    content = copy.deepcopy(content)
    *parents, key = path.split(".")
    place = content
    for parent in parents:
        place = place[parent]
    if value is ...:
        del place[key]
    else:
        place[key] = value
    return content


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("encodr", "b7", "encodr: expected one of the keys network, size"),
        ("optimizer.lr", 0.1, "optimizer.lr: expected one of the keys batch_size, type, learning_rate"),
        ("optimizer.schedule.params.gamma", 1, "optimizer.schedule.params.gamma: expected only max_iter, power"),
        ("losses.Focal", 1, "losses.Focal: expected only BinaryCrossentropy"),
        ("network", "Xception", "network: expected one of DeepFakeClassifier,"),
        ("encoder", ..., "encoder: expected a value; the key is missing"),
        ("optimizer.schedule.params.max_iter", ..., "params.max_iter: expected a value"),
        ("size", 380.5, "size: expected a whole number of 32 or more; found 380.5"),
        ("size", True, "size: expected a whole number of 32 or more; found True"),
        ("size", 8, "size: expected a whole number of 32 or more"),
        ("fp16", 1, "fp16: expected true or false"),
        ("optimizer", [], "optimizer: expected a mapping"),
        ("optimizer.batch_size", 0, "optimizer.batch_size: expected a whole number of 1 or more"),
        ("optimizer.learning_rate", -0.1, "optimizer.learning_rate: expected a number more than 0"),
        ("optimizer.learning_rate", float("nan"), "optimizer.learning_rate: expected a number"),
        ("optimizer.type", "Adam", "optimizer.momentum: expected no value: Adam has none"),
        ("optimizer.momentum", 0, "optimizer.nesterov: expected momentum more than 0"),
        ("optimizer.schedule.type", "cosine", "optimizer.schedule.type: expected one of poly, step"),
        ("optimizer.schedule.mode", "batch", "optimizer.schedule.mode: expected one of step, epoch"),
        ("optimizer.schedule.params.max_iter", 0, "optimizer.schedule.params.max_iter: expected more than 0"),
        ("normalize", {"mean": [0.5, 0.5], "std": [1, 1, 1]}, "normalize.mean: expected a list of 3 numbers"),
        (
            "normalize",
            {"mean": [0, 0, 0], "std": [1, 0, 1]},
            "normalize.std[1]: expected a number from 0.001 to 100; found 0",
        ),
        ("losses", {}, "losses: expected at least one of"),
        ("ohem_samples", 0, "ohem_samples: expected a whole number of 1 or more"),
        ("dropout", 1.0, "dropout: expected a number of 0 or more and less than 1"),
        ("optimizer.max_gradient_norm", 0, "optimizer.max_gradient_norm: expected a number more than 0, or null"),
    ],
)
def test_nonsense_is_refused_by_file_and_key(path, value, message):
    with pytest.raises(ConfigError, match=r"^some\.json: ") as error:
        parse_config(changed(path, value), "some.json")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("name", "path", "value", "message"),
    [
        ("xception", "network", "b7", "network: expected one of xception; found 'b7'"),
        ("xception", "encoder", "b7", "encoder: expected one of the keys network, size, optimizer"),
        ("xception", "frame_share", ..., "frame_share: expected a value; the key is missing"),
        (
            "xception",
            "frame_share.real",
            1.5,
            "frame_share.real: expected a number more than 0 and at most 1; found 1.5",
        ),
        ("xception", "frame_share.fake", "all", "frame_share.fake: expected a number"),
        ("xception", "frame_share.both", 1, "frame_share.both: expected one of the keys real, fake"),
        ("xception", "optimizer.schedule.params.every", 0, "schedule.params.every: expected more than 0"),
        ("wsdan_xception", "network", ["xception"], "network: expected a text"),
        ("wsdan_xception", "size", 16, "size: expected a whole number of 32 or more"),
        ("wsdan_xception", "frames_per_video", 0, "frames_per_video: expected a whole number of 1 or more"),
        ("wsdan_xception", "centre_beta", 0, "centre_beta: expected a number more than 0 and at most 1"),
        ("wsdan_xception", "centre_growth", 0.5, "centre_growth: expected a number of 1 or more"),
        ("wsdan_xception", "losses.raw", 0, "losses.raw: expected a number more than 0"),
        ("wsdan_xception", "losses.drop", -1, "losses.drop: expected a number of 0 or more"),
        ("wsdan_xception", "attention.crop_threshold", [0.6, 0.4], "attention.crop_threshold: expected two rising"),
        ("wsdan_xception", "attention.crop_threshold", 0.5, "attention.crop_threshold: expected a list of 2 numbers"),
        ("wsdan_xception", "attention.eval_threshold", 0, "attention.eval_threshold: expected a number more than 0"),
        (
            "wsdan_xception",
            "attention.crop_padding",
            1,
            "attention.crop_padding: expected a number of 0 or more and less",
        ),
    ],
)
def test_nonsense_of_second_place_is_refused_by_file_and_key(project_root, name, path, value, message):
    content = json.loads((project_root / "configs" / f"{name}.json").read_text())
    with pytest.raises(ConfigError, match=r"^some\.json: ") as error:
        parse_config(changed(path, value, content), "some.json", SHIPPED[name])
    assert message in str(error.value)


def test_files_that_are_no_config(tmp_path):
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    with pytest.raises(ConfigError, match=r"broken\.json: not JSON"):
        read_config(broken)
    with pytest.raises(ConfigError, match=r"none\.json: no readable config"):
        read_config(tmp_path / "none.json")
    with pytest.raises(ConfigError, match="expected a mapping"):
        parse_config([], "list.json")


def test_epochs_can_be_replaced():
    assert parse_config(TINY, "tiny").with_epochs(9).optimizer.schedule.epochs == 9

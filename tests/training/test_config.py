import copy
import json

import pytest

from tests.training.conftest import TINY
from training.config import ConfigError, parse_config, read_config

SHIPPED = ("b5", "b7", "tiny")


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_configs_are_read_and_written_back(project_root, name):
    config = read_config(project_root / "configs" / f"{name}.json")
    assert parse_config(json.loads(json.dumps(config.to_dict())), "copy") == config


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


def changed(path: str, value) -> dict:
    """TINY with the value at a dotted path replaced, or removed for `...`."""
    content = copy.deepcopy(TINY)
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
    ("path", "value", "told"),
    [
        ("encodr", "b7", "encodr: expected one of the keys network, size"),
        ("optimizer.lr", 0.1, "optimizer.lr: expected one of the keys batch_size, type, learning_rate"),
        ("optimizer.schedule.params.gamma", 1, "optimizer.schedule.params.gamma: expected only max_iter, power"),
        ("losses.Focal", 1, "losses.Focal: expected only BinaryCrossentropy"),
        ("network", "Xception", "network: expected one of DeepFakeClassifier,"),
        ("encoder", ..., "encoder: expected a value; the key is missing"),
        ("optimizer.schedule.params.max_iter", ..., "params.max_iter: expected a value"),
        ("size", 380.5, "size: expected a whole number; found 380.5"),
        ("size", True, "size: expected a whole number; found True"),
        ("size", 8, "size: expected 32 or more"),
        ("fp16", 1, "fp16: expected true or false"),
        ("optimizer", [], "optimizer: expected a mapping"),
        ("optimizer.batch_size", 0, "optimizer.batch_size: expected 1 or more"),
        ("optimizer.learning_rate", -0.1, "optimizer.learning_rate: expected more than 0"),
        ("optimizer.learning_rate", float("nan"), "optimizer.learning_rate: expected a number"),
        ("optimizer.type", "Adam", "optimizer.momentum: expected no value: Adam has none"),
        ("optimizer.momentum", 0, "optimizer.nesterov: expected momentum more than 0"),
        ("optimizer.schedule.type", "cosine", "optimizer.schedule.type: expected one of poly, step"),
        ("optimizer.schedule.mode", "batch", "optimizer.schedule.mode: expected one of step, epoch"),
        ("optimizer.schedule.params.max_iter", 0, "optimizer.schedule.params.max_iter: expected more than 0"),
        ("normalize", {"mean": [0.5, 0.5], "std": [1, 1, 1]}, "normalize.mean: expected a list of 3 numbers"),
        ("normalize", {"mean": [0, 0, 0], "std": [1, 0, 1]}, "normalize.std: expected values more than 0"),
        ("losses", {}, "losses: expected at least one of"),
        ("ohem_samples", 0, "ohem_samples: expected 1 or more"),
        ("dropout", 1.0, "dropout: expected 0 or more and less than 1"),
    ],
)
def test_nonsense_is_refused_by_file_and_key(path, value, told):
    with pytest.raises(ConfigError, match=r"^some\.json: ") as error:
        parse_config(changed(path, value), "some.json")
    assert told in str(error.value)


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

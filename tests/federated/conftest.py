"""Owners' data samples of a synthetic data set."""

import json
import logging
from pathlib import Path

import pytest

from federated.samples.samples import OwnerData, open_samples
from tests.data.federated_runs import ROUND, generate
from tests.data.training_sets import make_data_root


@pytest.fixture(autouse=True)
def log_as_before():
    """Commands that run in this process begin a log, to a stream that ends with the test."""
    root, own = logging.getLogger(), logging.getLogger("federated")
    handlers, levels = list(root.handlers), (root.level, own.level)
    yield
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)
        handler.close()
    for handler in handlers:
        if handler not in root.handlers:
            root.addHandler(handler)
    root.setLevel(levels[0])
    own.setLevel(levels[1])


@pytest.fixture(scope="session")
def federated_root(tmp_path_factory) -> Path:
    """A data set of ten originals in two folds that nobody writes to."""
    return make_data_root(tmp_path_factory.mktemp("federated") / "data", identities=10)


@pytest.fixture(scope="session")
def owners(federated_root: Path, tmp_path_factory) -> Path:
    """Its data samples of two owners, the first with twice as much, that nobody writes to."""
    out = tmp_path_factory.mktemp("owners") / "samples"
    generate(federated_root, out, "--shares", 2, 1)
    return out


@pytest.fixture(scope="session")
def opened(owners: Path) -> dict[str, dict[str, OwnerData]]:
    """The same, opened: owner -> kind -> data."""
    return {
        owner: {kind: open_samples([owners / owner / kind]) for kind in ("train", "test")}
        for owner in ("owner1", "owner2")
    }


@pytest.fixture(scope="session")
def config_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("config") / "tiny.json"
    path.write_text(json.dumps(ROUND))
    return path

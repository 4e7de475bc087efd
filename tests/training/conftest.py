"""Synthetic data sets: color patches as faces, a green square on the fakes; crops, and aligned faces."""

import json
import signal
from pathlib import Path

import pytest

from tests.data.training_sets import TINY, make_data_root, make_faces


@pytest.fixture(autouse=True)
def signals_as_before():
    """Commands that run in this process take signals for themselves."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def faces_root(tmp_path: Path) -> Path:
    """Aligned faces of one's own, to break."""
    return make_faces(tmp_path / "faces")


@pytest.fixture(scope="session")
def shared_faces_root(tmp_path_factory) -> Path:
    """Aligned faces that nobody writes to."""
    return make_faces(tmp_path_factory.mktemp("aligned") / "faces")


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    """A data set of one's own, to break."""
    return make_data_root(tmp_path / "data")


@pytest.fixture(scope="session")
def shared_data_root(tmp_path_factory) -> Path:
    """A data set that nobody writes to."""
    return make_data_root(tmp_path_factory.mktemp("training") / "data")


@pytest.fixture
def tiny_config(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps(TINY))
    return path

"""A synthetic preprocessed data set: colour patches as faces, a green square on the fakes."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

IDENTITIES = 4
FRAMES = (0, 10, 20, 30)
SIDE = 80
POINTS = (np.array([[0.35, 0.4], [0.65, 0.4], [0.5, 0.55], [0.4, 0.7], [0.6, 0.7]]) * SIDE).astype(np.int16)

TINY = {
    "network": "DeepFakeClassifier",
    "encoder": "test_efficientnet",
    "batches_per_epoch": 3,
    "size": 64,
    "pretrained": False,
    "dropout": 0.3,  # so that a run consumes random state, which resuming must reproduce
    "optimizer": {
        "batch_size": 4,
        "type": "SGD",
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 1e-4,
        "learning_rate": 0.01,
        "schedule": {"type": "poly", "mode": "step", "epochs": 3, "params": {"max_iter": 20}},
    },
    "losses": {"BinaryCrossentropy": 1},
}


def make_data_root(root: Path, identities: int = IDENTITIES) -> Path:
    """Originals rN, one fake fN of each, two folds; crops, landmarks, diffs and folds.csv below `root`."""
    rng = np.random.default_rng(0)
    rows = ["video,file,label,original,frame,fold"]
    for n in range(identities):
        face = cv2.resize(rng.integers(0, 255, (5, 5, 3), dtype=np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        for video in (f"r{n}", f"f{n}"):
            for folder in ("crops", "landmarks", "diffs"):
                (root / folder / video).mkdir(parents=True)
            for frame in FRAMES:
                crop = cv2.add(face, rng.integers(0, 20, face.shape, dtype=np.uint8))
                if video[0] == "f":
                    crop[20:50, 20:50] = (0, 255, 0)
                    mask = np.zeros((SIDE, SIDE), np.uint8)
                    mask[20:50, 20:50] = 150
                    cv2.imwrite(str(root / "diffs" / video / f"{frame}_0_diff.png"), mask)
                else:
                    np.save(root / "landmarks" / video / f"{frame}_0.npy", POINTS)
                cv2.imwrite(str(root / "crops" / video / f"{frame}_0.png"), crop)
                rows.append(f"{video},{frame}_0.png,{int(video[0] == 'f')},r{n},{frame},{n % 2}")
    (root / "folds.csv").write_text("\n".join(rows) + "\n")
    return root


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

"""Synthetic data sets to train on: color patches as faces, a green square on the fakes; crops, and aligned faces."""

import json
from pathlib import Path

import cv2
import numpy as np

from deepfake.datasets.aligned_faces import (
    FACES_CSV,
    Extraction,
    FaceListRow,
    face_name,
    write_extraction,
    write_face_list,
)
from deepfake.faces.recipes import AlignRecipe

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


def write_endless(path: Path) -> Path:
    """Writes TINY with a learning rate that stays, however many epochs there are."""
    schedule = {"type": "constant", "mode": "epoch", "epochs": 3, "params": {}}
    path.write_text(json.dumps({**TINY, "optimizer": {**TINY["optimizer"], "schedule": schedule}}))
    return path


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


def make_faces(root: Path, pictures: int = 6, train: int = 3, val: int = 2, side: int = 72) -> Path:
    """Aligned faces: reals rN and fakes fN in the sets train and val, one of set test, and a video without pictures."""
    rng = np.random.default_rng(0)
    rows = []
    sets = [*["train"] * train, *["val"] * val, "test"]
    for n, set_name in enumerate(sets):
        face = cv2.resize(rng.integers(0, 255, (5, 5, 3), dtype=np.uint8), (side, side), interpolation=cv2.INTER_CUBIC)
        for video in (f"r{n}", f"f{n}"):
            (root / video).mkdir(parents=True)
            for frame in range(pictures):
                picture = cv2.add(face, rng.integers(0, 20, face.shape, dtype=np.uint8))
                if video[0] == "f":
                    picture[side // 3 : side // 2, side // 3 : side // 2] = (0, 255, 0)
                cv2.imwrite(str(root / video / face_name(frame)), picture)
            rows.append(FaceListRow(video, int(video[0] == "f"), pictures, set_name))
    rows.append(FaceListRow("empty", 1, 0, "train"))
    write_face_list(root / FACES_CSV, rows)
    write_extraction(root, Extraction(AlignRecipe(size=side), every=2))
    return root


def second_place_config(project_root: Path, name: str, path: Path, **changes) -> Path:
    """A shipped config, made small: input 72, batches of 4, three epochs, random weights, all pictures."""
    content = json.loads((project_root / "configs" / f"{name}.json").read_text())
    content.update(size=72, pretrained=False)
    content["optimizer"]["batch_size"] = 4
    content["optimizer"]["schedule"]["epochs"] = 3
    if name == "xception":
        content["frame_share"] = {"real": 0.7, "fake": 0.7}
    else:
        content.update(frames_per_video=4, frame_stride=2)
    path.write_text(json.dumps({**content, **changes}))
    return path

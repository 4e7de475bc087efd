"""Which aligned faces an epoch trains on and which ones validate it (lists as `read_face_list` reads them).

A sample is a row of `video`, `label`, `part` and `parts`: of n pictures of the video, sorted by frame, the one at
`n * part // parts`. So the pictures are counted where they are read, and a list that tells another number than there
are still spreads the samples over the whole video.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from deepfake.datasets.aligned_faces import TRAIN, VALIDATION
from deepfake.storage.tables import TableError

_ANY = 2**31
"""`parts` of a picture drawn at random: so many that each picture has its share."""
_ORDER = 1
"""Tells the draws of an epoch from those of its samples, which are seeded by (seed, epoch, position)."""


def faces_of_set(faces: pd.DataFrame, set_name: str) -> pd.DataFrame:
    """The list's videos of one set, those without pictures left out."""
    return faces[(faces["set_name"] == set_name) & (faces["n_frame"] > 0)].reset_index(drop=True)


def check_faces(faces: pd.DataFrame, folder: Path, source: str) -> None:
    """Raises TableError unless there are reals and fakes both to train on and to validate with, each in its folder."""
    for set_name, purpose in ((TRAIN, "train on"), (VALIDATION, "validate with")):
        videos = faces_of_set(faces, set_name)
        for label, name in ((0, "real"), (1, "fake")):
            if not (videos["is_fake"] == label).any():
                raise TableError(
                    f"{source}: no {name} videos with pictures in set {set_name!r} to {purpose}; "
                    f"found {len(videos)} videos there"
                )
        missing = [name for name in videos["name"] if not (folder / name).is_dir()]
        if missing:
            raise TableError(
                f"{source}: {len(missing)} of {len(videos)} videos in set {set_name!r} have no folder in {folder}, "
                f"the first: {missing[0]}; extract the faces again, or take them off the list"
            )


def share_counts(videos: pd.DataFrame, real: float, fake: float) -> np.ndarray:
    """How many pictures a share of each video is: (n,) int64, rounded as Python does (halves to even)."""
    shares = np.where(videos["is_fake"] == 1, fake, real)
    return np.rint(videos["n_frame"].to_numpy() * shares).astype(np.int64)


def drawn_rows(videos: pd.DataFrame, counts: np.ndarray, seed: int, epoch: int) -> pd.DataFrame:
    """`counts` pictures of each video, each drawn from all of them, in random order; from (seed, epoch)."""
    rng = _rng(seed, epoch)
    rows = _repeated(videos, counts)
    rows["part"], rows["parts"] = rng.integers(_ANY, size=len(rows)), _ANY
    return _shuffled(rows, rng)


def even_rows(videos: pd.DataFrame, counts: np.ndarray) -> pd.DataFrame:
    """`counts` pictures of each video spread evenly, at least one and no picture twice, in a stable order."""
    counts = counts.clip(1, videos["n_frame"].to_numpy())
    rows = _repeated(videos.sort_values("name"), counts[np.argsort(videos["name"].to_numpy())])
    rows["part"], rows["parts"] = rows.pop("nth"), rows.pop("count")
    return rows


def balanced_samples(videos: pd.DataFrame, frames: int) -> int:
    """How many samples each epoch of `balanced_rows` has at least, whatever fakes are drawn."""
    counts = np.minimum(videos["n_frame"].to_numpy(), frames)
    classes = [np.sort(counts[videos["is_fake"] == label]) for label in (0, 1)]
    return int(sum(of_class[: min(map(len, classes))].sum() for of_class in classes))


def balanced_rows(videos: pd.DataFrame, frames: int, stride: int, seed: int, epoch: int) -> pd.DataFrame:
    """All reals and as many fakes, or all fakes and as many reals, drawn from (seed, epoch), in random order.

    Of each video `frames` pictures, `stride` apart, from picture `epoch % stride` on. A video with less than
    `frames * stride` pictures has its own narrower stride; one with less than `frames` gives each picture once.
    """
    rng = _rng(seed, epoch)
    classes = [np.flatnonzero(videos["is_fake"] == label) for label in (0, 1)]
    fewest = min(map(len, classes))
    chosen = np.concatenate([rng.permutation(of_class)[:fewest] for of_class in classes])
    videos = videos.iloc[chosen]
    rows = _repeated(videos, np.minimum(videos["n_frame"].to_numpy(), frames))
    rows["part"] = stride * rows.pop("nth") + epoch % stride
    rows["parts"] = np.maximum(rows["pictures"], stride * rows.pop("count"))
    return _shuffled(rows, rng)


def _repeated(videos: pd.DataFrame, counts: np.ndarray) -> pd.DataFrame:
    """Each video `count` times: `nth` counts up; `pictures` is how many the list tells."""
    of_row = np.repeat(np.arange(len(videos)), counts)
    first = np.cumsum(counts) - counts
    listed = videos.iloc[of_row]
    return pd.DataFrame(
        {
            "video": listed["name"].to_numpy(),
            "label": listed["is_fake"].to_numpy(),
            "pictures": listed["n_frame"].to_numpy(),
            "nth": np.arange(len(of_row)) - first[of_row],
            "count": counts[of_row],
        }
    )


def _shuffled(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return rows.iloc[rng.permutation(len(rows))].reset_index(drop=True)


def _rng(seed: int, epoch: int) -> np.random.Generator:
    return np.random.default_rng([seed, epoch, 0, _ORDER])

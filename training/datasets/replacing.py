"""Broken files: another sample of the same label takes their place in training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from deepfake.media.images import ImageError
from training.datasets.batch import Sample

MAX_REPLACEMENTS = 100
"""After so many broken files in a row a data set is beyond use."""


def read_or_replace(
    row: int,
    others: np.ndarray,
    rng: np.random.Generator,
    read: Callable[[int, tuple[str, ...]], Sample],
    cure: str,
) -> Sample:
    """The sample of a row, or of another one drawn while files are broken.

    Args:
        others: (n,) rows of the same label.
        read: row, and what was broken so far -> sample; raises ImageError if its file is broken.
        cure: what the user can do if all of them are, for the message.

    Raises:
        ValueError: too many replacements in a row were broken, too.
    """
    broken: list[str] = []
    for _ in range(MAX_REPLACEMENTS):
        try:
            return read(row, tuple(broken))
        except ImageError as error:
            broken.append(str(error))
        row = int(rng.choice(others))
    raise ValueError(f"{MAX_REPLACEMENTS} broken crops in a row, the last: {broken[-1]}; {cure}")

"""Data samples of owners, and the settings of a short round."""

import sys
from pathlib import Path

from tests.data.training_sets import TINY

ROUND = {**TINY, "batches_per_epoch": 2, "dropout": 0.0}


def generate(root: Path, out: Path, *options: object) -> None:
    """generate_data_samples.py in this process, for two owners."""
    from federated import generate_data_samples

    words = ["generate", "--root-dir", root, "--owners", 2, "--out", out, *options]
    before, sys.argv = sys.argv, [str(word) for word in words]
    try:
        assert generate_data_samples.main() == 0
    finally:
        sys.argv = before

"""The published weights: their names and addresses. Nothing heavy is imported here: `--help` names them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

BASE_URL = "https://github.com/selimsef/dfdc_deepfake_challenge/releases/download/0.0.1"

NAMES = (
    "final_111_DeepFakeClassifier_tf_efficientnet_b7_ns_0_36",
    "final_555_DeepFakeClassifier_tf_efficientnet_b7_ns_0_19",
    "final_777_DeepFakeClassifier_tf_efficientnet_b7_ns_0_29",
    "final_777_DeepFakeClassifier_tf_efficientnet_b7_ns_0_31",
    "final_888_DeepFakeClassifier_tf_efficientnet_b7_ns_0_37",
    "final_888_DeepFakeClassifier_tf_efficientnet_b7_ns_0_40",
    "final_999_DeepFakeClassifier_tf_efficientnet_b7_ns_0_23",
)
"""The submitted ensemble: seven EfficientNet-B7 of five seeds."""

XCEPTION, WSDAN_XCEPTION, WSDAN_EFFICIENTNET_B3 = SECOND_PLACE_NAMES = (
    "xception-hg-2.pth",
    "ckpt_x.pth",
    "ckpt_e.pth",
)
"""Second place's submitted ensemble. Its authors' file host has no lasting address: the user fetches the files."""

SECOND_PLACE_SOURCE = "the file host that github.com/cuihaoleo/kaggle-dfdc names"


class WeightsError(ValueError):
    """A weight file is not what it should be; the message names it and the cure."""


def check_present(files: Sequence[Path]) -> None:
    """Raises WeightsError if checkpoints are missing; it names all of them, and where published ones come from."""
    absent = [file for file in files if not file.is_file()]
    if not absent:
        return
    cures = []
    if any(file.name in NAMES for file in absent):
        cures.append("; fetch first place's with: bash download_weights.sh")
    if any(file.name in SECOND_PLACE_NAMES for file in absent):
        cures.append(f"; second place's are on {SECOND_PLACE_SOURCE}: put them there")
    raise WeightsError(f"{', '.join(map(str, absent))}: no such checkpoint{''.join(cures)}")

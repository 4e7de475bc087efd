"""Checks before training that crops have the landmarks and masks that the recipe reads."""

from __future__ import annotations

import logging

import pandas as pd

from training.datasets.crop_reading import CropReader
from training.datasets.crops import FAKE, SampleOptions

LANDMARKS_STEP = "preprocessing/generate_landmarks.py"
MASKS_STEP = "preprocessing/generate_diffs.py"

log = logging.getLogger(__name__)


def check_complete(rows: pd.DataFrame, crops: CropReader, options: SampleOptions, source: str, warn: bool) -> None:
    """Count the training rows without landmarks or masks, and warn about them.

    Args:
        rows: of the folds that are trained on.
        source: names the table in messages.
        warn: log the warnings; False in all processes but the first.

    Raises:
        ValueError: no crop has landmarks although occlusion places itself by them, or no fake has a mask although
            only changed frames count. The message names the step that makes them.
    """
    again = " and pack the shards again" if "shard" in rows.columns else ""
    fakes = rows[rows["label"] == FAKE]
    if options.hardcore:
        missing = int((~crops.has_points(rows)).sum())
        message = (
            f"{source}: {missing} of {len(rows)} crops to train on have no landmarks, by which occlusion finds the "
            f"parts of a face; run {LANDMARKS_STEP}{again}, or train without occlusion (--no-hardcore)"
        )
        _report(message, missing, is_error=missing == len(rows), warn=warn)
    if options.hardcore or options.only_changed:
        without = ~crops.has_mask(fakes)
        missing = int(without.sum())
        # A mask compares a fake with its original.
        alone = int((without & (fakes["original"] == fakes["video"])).sum())
        effect = "drop out of the loss" if options.only_changed else "are never occluded by half"
        message = f"{source}: {missing} of {len(fakes)} fakes' crops to train on have no difference mask and {effect}"
        if missing > alone:
            message += f"; run {MASKS_STEP}{again}"
        if alone:
            message += f"; {alone} are of fakes whose original is not known: only masks of the data set itself are left"
            message += f" for these ({MASKS_STEP} --masks dataset)"
        _report(message, missing, is_error=options.only_changed and missing == len(fakes), warn=warn)


def _report(message: str, missing: int, is_error: bool, warn: bool) -> None:
    if is_error:
        raise ValueError(message)
    if missing and warn:
        log.warning(message)

"""Whether a test set's groups were trained on, as far as checkpoints and the table of the training know."""

from __future__ import annotations

import csv
from collections.abc import Container, Mapping
from pathlib import Path

from deepfake.datasets.records import Dataset
from deepfake.evaluation.recorded import RecordedRun
from deepfake.storage.names import escape


def read_training_names(folds_csv: Path, held_out_fold: int | None) -> set[str]:
    """Return the videos and originals of a fold table, without those of the fold that was not trained on.

    Raises:
        ValueError: not a table with a column `video`.
    """
    try:
        with folds_csv.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{folds_csv}: not a table: {error}") from error
    if not rows or "video" not in rows[0]:
        raise ValueError(f"{folds_csv}: no column video; expected the folds.csv of a training")
    trained = [row for row in rows if held_out_fold is None or row.get("fold") != str(held_out_fold)]
    return {Path(row[key]).stem for row in trained for key in ("video", "original") if row.get(key)}


def trained_groups(dataset: Dataset, trained: Container[str]) -> list[str]:
    """Return the groups of a data set that have a video, or an original, among the names of training videos."""
    return sorted(
        {
            video.group
            for video in dataset.videos.values()
            if any(name in trained for name in (video.video_id, video.group, video.identity, video.path.stem))
        }
    )


def overlap_warnings(dataset: Dataset, trained: Mapping[str, Container[str]]) -> list[str]:
    """Return a sentence for each network or table that has groups of the data set among its training data."""
    overlaps = {whose: trained_groups(dataset, names) for whose, names in trained.items()}
    return [
        f"{len(groups)} groups of the test set were in the training data of {escape(whose)}, e.g. '{escape(groups[0])}'"
        for whose, groups in overlaps.items()
        if groups
    ]


def describe_trained(run: RecordedRun, folds_csv: Path | None, held_out_fold: int | None) -> str:
    """Say for a protocol how many groups each network is known to have been trained on."""
    known = {name: "not known" if groups is None else str(len(groups)) for name, groups in run.trained.items()}
    if folds_csv is not None:
        fold = "" if held_out_fold is None else f" without fold {held_out_fold}"
        known[folds_csv.name] = f"its videos{fold}"
    return ", ".join(f"{name} {what}" for name, what in known.items()) or "not known"

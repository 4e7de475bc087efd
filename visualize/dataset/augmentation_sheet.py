"""The sheet of a crop as training sees it: the crop, the network's plain input, and variants of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deepfake.datasets.data_root import DataRoot
from deepfake.datasets.records import VideoRecord
from deepfake.media.images import read_image
from visualize.dataset.sheets import Cell, Row, Sheet

VARIANTS = 16
COLUMNS = 6
CELL_HEIGHT = 244


@dataclass(frozen=True)
class Crop:
    """Which crop of a data set."""

    layout: DataRoot
    video: VideoRecord
    frame: int
    face: int


def make_augmentation_sheet(crop: Crop, config: Path, seed: int) -> Sheet:
    """Draw `VARIANTS` variants with `seed` and put them on a sheet.

    Raises:
        ConfigError: the config cannot be used.
        ValueError: no such crop, or its file, landmarks or mask is broken.
    """
    # Only this sheet needs torch, which takes seconds to import.
    from training.config import TrainConfig, read_config
    from training.datasets.crop_variants import draw_variants

    size = read_config(config, TrainConfig).size
    drawn = draw_variants(crop.layout, crop.video, crop.frame, crop.face, size, VARIANTS, seed)
    row, samples = drawn.row, drawn.samples
    file = crop.layout.crops / row.video / row.file
    original = read_image(file)
    cells = [
        Cell("crop on disk", original, [f"{original.shape[1]} x {original.shape[0]} pixels"]),
        Cell("validation, prediction", drawn.plain.image, ["no change but the size"]),
        *(
            Cell(
                str(number),
                sample.image,
                [f"blacked out: {sample.occlusion}" if sample.occlusion else "nothing blacked out"],
            )
            for number, sample in enumerate(samples, start=1)
        ),
    ]
    return Sheet(
        title=f"{row.video}, frame {row.frame}, face {crop.face}: {len(samples)} variants as training sees them",
        lines=[
            f"{config.name}   ·   {size} x {size} pixels   ·   seed {seed}   ·   label {samples[0].label:g} "
            f"({'fake' if row.label else 'real'}, smoothed)",
            f"{file.relative_to(crop.layout.root)}: drawn by training's data set, with occlusions, compression, noise, "
            "blur, flip, color, shift, scale and rotation",
        ],
        rows=[Row(cells[start : start + COLUMNS], CELL_HEIGHT) for start in range(0, len(cells), COLUMNS)],
    )

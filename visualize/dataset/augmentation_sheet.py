"""The sheet of a crop as training sees it: the crop, the network's plain input, and variants of it.

Training's own command draws the variants, in a process of its own: this room does not import training.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepfake.datasets.layout import DataRoot
from deepfake.media.images import read_image
from visualize.dataset.sheets import Cell, Row, Sheet

VARIANTS = 16
COLUMNS = 6
CELL_HEIGHT = 244

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path("training", "pipelines", "draw_samples.py")


@dataclass(frozen=True)
class Crop:
    """Which crop of a data set."""

    layout: DataRoot
    video_id: str
    frame: int
    face: int


def make_augmentation_sheet(crop: Crop, config: Path, seed: int) -> Sheet:
    """Draws `VARIANTS` variants with `seed` and puts them on a sheet.

    Raises:
        ValueError: training's command could not; the message is its own.
    """
    with tempfile.TemporaryDirectory(prefix="variants-") as folder:
        _run_training(crop, config, seed, Path(folder))
        return _make_sheet(crop, Path(folder))


def _run_training(crop: Crop, config: Path, seed: int, out: Path) -> None:
    # name=value: an id may begin with a dash.
    values = {
        "data-dir": crop.layout.root, "crops-dir": crop.layout.crops_name, "video": crop.video_id, "frame": crop.frame,
        "face": crop.face, "count": VARIANTS, "config": config, "seed": seed, "out": out,
    }  # fmt: skip
    command = [sys.executable, str(ROOT / PROGRAM), *(f"--{name}={value}" for name, value in values.items())]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        told = (done.stderr.strip().splitlines() or ["it said nothing"])[-1].removeprefix("error: ")
        raise ValueError(f"{PROGRAM} drew no variants (exit code {done.returncode}): {told}")


def _make_sheet(crop: Crop, folder: Path) -> Sheet:
    facts = json.loads((folder / "samples.json").read_text(encoding="utf-8"))
    file = crop.layout.crops / facts["video"] / facts["file"]
    original, plain = read_image(file), read_image(folder / "plain.png")
    cells = [
        Cell("crop on disk", original, [f"{original.shape[1]} x {original.shape[0]} pixels"]),
        Cell("validation, prediction", plain, ["no change but the size"]),
        *(_variant(folder, number, sample) for number, sample in enumerate(facts["samples"], start=1)),
    ]
    size, label = facts["size"], facts["samples"][0]["label"]
    return Sheet(
        title=f"{facts['video']}, frame {facts['frame']}, face {crop.face}: {len(facts['samples'])} variants as "
        "training sees them",
        lines=[
            f"{facts['config']}   ·   {size} x {size} pixels   ·   seed {facts['seed']}   ·   label {label:g} "
            f"({'fake' if facts['label'] else 'real'}, smoothed)",
            f"{file.relative_to(crop.layout.root)}: drawn by training's data set, with occlusions, compression, noise, "
            "blur, flip, colour, shift, scale and rotation",
        ],
        rows=[Row(cells[start : start + COLUMNS], CELL_HEIGHT) for start in range(0, len(cells), COLUMNS)],
    )


def _variant(folder: Path, number: int, sample: dict[str, Any]) -> Cell:
    black = f"blacked out: {sample['occlusion']}" if sample["occlusion"] else "nothing blacked out"
    return Cell(str(number), read_image(folder / sample["file"]), [black])

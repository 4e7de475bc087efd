"""Every name under DATA_ROOT, in one place.

DATA_ROOT/dfdc_train_part_N/ID.mp4, metadata.json   the videos, as DFDC ships them
DATA_ROOT/boxes/ID.json                             face boxes of an original
DATA_ROOT/crops/ID/{frame}_{face}.png               face crops of originals and fakes
DATA_ROOT/landmarks/ID/{frame}_{face}.npy           five points per crop of an original
DATA_ROOT/diffs/ID/{frame}_{face}_diff.png          SSIM masks of a fake against its original
DATA_ROOT/images/ID/{frame}.jpg                     whole frames, for looking at
DATA_ROOT/folds.csv                                 all crops with label and fold
DATA_ROOT/sheets/                                   pictures of the data set, a page about it
DATA_ROOT/failures/STEP.csv                         videos that a step could not process
DATA_ROOT/runs/START_STEP_ID.jsonl                  what each run of a step did
DATA_ROOT/compressed/dfdc_train_part_N/             the videos again, compressed harder: a data root of its own
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from deepfake.storage.names import is_plain_name
from deepfake.storage.own_folders import BOXES_DIR, RUNS_DIR

OUTPUT_FOLDERS = frozenset(
    [BOXES_DIR, RUNS_DIR, "crops", "landmarks", "diffs", "images", "sheets", "failures", "compressed"]
)
"""What the steps write below DATA_ROOT, as folders."""

FOLDS_NAME = "folds.csv"

CROP_SUFFIXES = (".png", ".jpg", ".webp")
FAILURES_DIR = "failures"

_CROP_STEM = re.compile(r"(\d+)_(\d+)", re.ASCII)


@dataclass(frozen=True)
class DataRoot:
    """The layout of one preprocessed data set below `root`. `crops_name` is a folder name below it."""

    root: Path
    crops_name: str = "crops"

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root))
        if not is_plain_name(self.crops_name):
            raise ValueError(f"crops folder {self.crops_name!r}: expected a plain folder name below {self.root}")

    @property
    def boxes(self) -> Path:
        return self.root / BOXES_DIR

    @property
    def crops(self) -> Path:
        return self.root / self.crops_name

    @property
    def landmarks(self) -> Path:
        return self.root / "landmarks"

    @property
    def diffs(self) -> Path:
        return self.root / "diffs"

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def compressed(self) -> Path:
        return self.root / "compressed"

    @property
    def sheets(self) -> Path:
        return self.root / "sheets"

    @property
    def folds_csv(self) -> Path:
        return self.root / FOLDS_NAME

    def boxes_file(self, video_id: str) -> Path:
        return self.boxes / f"{video_id}.json"

    def failures_file(self, step: str) -> Path:
        """Where a preprocessing step lists the videos it could not process."""
        return failures_file(self.root, step)


def part_folder(root: Path, number: int) -> Path:
    """The folder of one of DFDC's training parts."""
    return root / f"dfdc_train_part_{number}"


def failures_file(root: Path, step: str) -> Path:
    """Where a step that writes below `root` lists the videos it could not process."""
    return root / FAILURES_DIR / f"{step}.csv"


def crop_name(frame: int, face: int, suffix: str = ".png") -> str:
    return f"{frame}_{face}{suffix}"


def landmark_name(frame: int, face: int) -> str:
    return f"{frame}_{face}.npy"


def diff_name(frame: int, face: int) -> str:
    return f"{frame}_{face}_diff.png"


def image_name(frame: int, suffix: str = ".jpg") -> str:
    return f"{frame}{suffix}"


def parse_crop_name(name: str) -> tuple[int, int] | None:
    """(frame, face) of a crop's file name, None if the name is not a crop's."""
    path = Path(name)
    match = _CROP_STEM.fullmatch(path.stem)
    if path.name != name or match is None or path.suffix not in CROP_SUFFIXES:
        return None
    return int(match[1]), int(match[2])


def is_there(path: Path) -> bool:
    """Whether a file or folder is there; a name that no disk takes (too long) is not."""
    try:
        return path.exists()
    except OSError:
        return False


def list_crops(folder: Path) -> list[Path]:
    """The crops in one video's crop folder, ordered by frame, then face."""
    found = [(parsed, path) for path in folder.iterdir() if (parsed := parse_crop_name(path.name)) is not None]
    return [path for _, path in sorted(found)]

"""What the library's tests share: clips made on the spot, and a hypothesis profile that repeats itself."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from tests.data import clips

# Slow machines are no failure, and a failure found once is found again.
settings.register_profile("library", deadline=None, max_examples=60, derandomize=True, database=None)
settings.load_profile("library")

GRAY_STEP = 6
"""Frame i of a numbered clip is uniformly GRAY_STEP * i + GRAY_STEP gray: far enough apart to survive compression."""


@pytest.fixture(scope="session")
def ffmpeg() -> Callable[..., None]:
    """`ffmpeg(arg, ...)` runs the binary that imageio-ffmpeg carries and fails loudly."""
    return clips.ffmpeg


@pytest.fixture(scope="session")
def numbered_clip(ffmpeg) -> Callable[..., Path]:
    """`numbered_clip(path, frames, *options)` writes a clip whose frames' brightness tells their index (40 at most)."""

    def make(path: Path, frames: int, *options: object, size: tuple[int, int] = (48, 64)) -> Path:
        assert 0 < frames <= 40
        levels = (np.arange(frames, dtype=np.uint8) + 1) * np.uint8(GRAY_STEP)
        pixels = np.broadcast_to(levels[:, None, None, None], (frames, *size, 3))
        raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[1]}x{size[0]}", "-r", 10, "-i", "-"]
        codec = [] if "-c:v" in options or path.suffix == ".webm" else ["-c:v", "libx264", "-crf", 10]
        picture = [] if "-pix_fmt" in options else ["-pix_fmt", "yuv420p"]
        ffmpeg(*raw, *codec, *picture, *options, path, stdin=pixels.tobytes())
        return path

    return make


@pytest.fixture(scope="session")
def number_of() -> Callable[[np.ndarray], int]:
    """The index that a frame of a numbered clip shows."""
    return lambda image: round(float(image.mean()) / GRAY_STEP) - 1


@pytest.fixture(scope="session")
def packs() -> None:
    """Skips what needs packed convolutions where no processor packs them."""
    import torch

    from deepfake.models.inference.packing import can_pack

    if not can_pack(torch.device("cpu"), torch.float32):
        pytest.skip("only x86 processors pack convolutions")


@pytest.fixture(scope="session")
def recorded(shared):
    """fill.py, by whose weights and inputs the outputs were recorded."""
    path = shared / "reference" / "fill.py"
    spec = importlib.util.spec_from_file_location("fill", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

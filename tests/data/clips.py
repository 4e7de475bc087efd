"""Small videos for tests, made with the ffmpeg binary that imageio-ffmpeg carries."""

import json
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np


def ffmpeg(*arguments: object, stdin: bytes | None = None) -> None:
    """Runs ffmpeg; overwrites its output, fails loudly."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)]
    done = subprocess.run(command, input=stdin or b"", capture_output=True)
    assert done.returncode == 0, done.stderr.decode(errors="replace")


def cut(source: Path, out: Path, frames: int, *options: str) -> None:
    """The first frames of a video, encoded again."""
    encode = ("-frames:v", str(frames), "-an", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
    ffmpeg("-i", str(source), *options, *encode, str(out))


def draw(out: Path, frames: np.ndarray, fps: int = 25, *options: str) -> None:
    """A video of (n, h, w, 3) uint8 RGB frames, h and w even."""
    height, width = frames.shape[1:3]
    source = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(fps), "-i", "-")
    encode = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
    ffmpeg(*source, *(options or encode), str(out), stdin=np.ascontiguousarray(frames).tobytes())


def gradient(frames: int, height: int = 240, width: int = 320) -> np.ndarray:
    """A moving gradient: a picture without a face."""
    rows = np.linspace(0, 200, height)[None, :, None, None]
    columns = np.linspace(0, 55, width)[None, None, :, None]
    moving = np.arange(frames)[:, None, None, None]
    return np.broadcast_to(rows + columns + moving, (frames, height, width, 3)).clip(0, 255).astype(np.uint8)


def write_metadata(part: Path, reals: list[str], fakes: dict[str, str]) -> None:
    """A part's metadata.json: names of reals, and of fakes with their originals."""
    content: dict = {name: {"label": "REAL", "split": "train"} for name in reals}
    content |= {name: {"label": "FAKE", "split": "train", "original": original} for name, original in fakes.items()}
    (part / "metadata.json").write_text(json.dumps(content))

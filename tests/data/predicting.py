"""What the tests of prediction share: tiny checkpoints, and clips with what a folder of videos may hold."""

import shutil
from dataclasses import replace
from pathlib import Path

from tests.data.clips import cut, draw, ffmpeg, gradient

UNREADABLE = ("audio only.mp4", "empty.mp4", "text.mp4", "truncated.mp4")
FACELESS = ("faceless.mp4",)
SCORED = (
    "fünf Gesichter.MOV",
    "matroska.mkv",
    "one frame.mp4",
    "rotated.mp4",
    "sub/whole.mp4",
    "tape.avi",
    "variable.mp4",
    "web.webm",
    "whole.mp4",
)


def tiny_checkpoint(path: Path, seed: int = 0, input_size: int = 64, **spec) -> Path:
    """A checkpoint of a small network with random weights and its spec."""
    import torch

    from deepfake.checkpoints.checkpoint import save_checkpoint
    from deepfake.checkpoints.spec import ModelSpec

    torch.manual_seed(seed)
    described = ModelSpec("DeepFakeClassifier", {"encoder": "mobilenetv3_small_050"}, input_size, **spec)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(path, described.build(), described)
    return path


def on_frames(model, count: int):
    """A `ScoringModel` that looks at other frames: `count` spread over a video."""
    from deepfake.media.video import SpreadFrames
    from deepfake.prediction.face_collector import FaceSource

    return replace(model, source=FaceSource(frames=SpreadFrames(count)))


def make_zoo(folder: Path, source: Path) -> None:
    """Good, odd and bad videos, from a real clip with one face."""
    (folder / "sub").mkdir(parents=True)
    whole = folder / "whole.mp4"
    cut(source, whole, 12)
    shutil.copy(whole, folder / "fünf Gesichter.MOV")
    cut(source, folder / "sub" / "whole.mp4", 6)
    cut(source, folder / "one frame.mp4", 1)
    cut(source, folder / "tape.avi", 6)
    cut(source, folder / "matroska.mkv", 6)
    ffmpeg("-i", str(whole), "-frames:v", "3", "-c:v", "libvpx", "-deadline", "realtime", str(folder / "web.webm"))
    cut(source, folder / "variable.mp4", 9, "-vf", "select='not(mod(n,3))+lt(n,6)'", "-fps_mode", "vfr")
    lying = folder.parent / "lying.mp4"
    cut(source, lying, 12, "-vf", "transpose=clock")
    ffmpeg(
        "-display_rotation", "90", "-i", str(lying), "-c", "copy", str(folder / "rotated.mp4")
    )  # back, anticlockwise
    draw(folder / "faceless.mp4", gradient(4))
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("not a video")
    data = whole.read_bytes()
    (folder / "truncated.mp4").write_bytes(data[: len(data) // 2])  # its index stands at the end
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1", str(folder / "audio only.mp4"))
    (folder / "notes.txt").write_text("not a video either, and not named like one")

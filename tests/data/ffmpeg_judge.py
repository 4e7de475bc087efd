"""What ffmpeg shows of a video: the judge of frames and their times."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np

from deepfake.media.frames import Frame

# Interlaced frames made whole, then square pixels, the longer way of each kept.
AS_SHOWN = "bwdif=mode=send_frame:deint=interlaced,scale=round(iw*max(sar\\,1)):round(ih*max(1/sar\\,1)),showinfo"


@dataclass(frozen=True)
class Shown:
    """Frames with the seconds at which ffmpeg shows them, ascending.

    `one_size` tells whether all are of one size: else its output has some of them scaled.
    """

    seconds: list[float]
    images: list[np.ndarray]
    one_size: bool = True

    def at(self, seconds: float) -> np.ndarray:
        """The image on screen at a time."""
        index = np.searchsorted(self.seconds, seconds + 0.002, side="right") - 1
        return self.images[max(int(index), 0)]


def shown_by_ffmpeg(
    path: Path | str, stream: str = "0:v:0", filters: str = AS_SHOWN, source: tuple[str, ...] = ()
) -> Shown:
    """Decode all frames of a stream with the ffmpeg binary; frames of one size."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostdin", *source, "-i", str(path), "-map", stream]
    command += ["-fps_mode", "passthrough", "-vf", filters, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    done = subprocess.run(command, capture_output=True, check=False)
    lines = re.findall(r"pts_time:\s*(-?[\d.]+).*? s:(\d+)x(\d+)", done.stderr.decode(errors="replace"))
    assert lines, f"ffmpeg shows nothing of {path}: {done.stderr.decode(errors='replace')[-500:]}"
    width, height = int(lines[0][1]), int(lines[0][2])
    images = np.frombuffer(done.stdout, np.uint8)
    images = images[: len(images) // (width * height * 3) * width * height * 3].reshape(-1, height, width, 3)
    one_size = len({line[1:] for line in lines}) == 1 and len(images) == len(lines)
    return Shown([float(line[0]) for line in lines][: len(images)], list(images), one_size)


def difference(frame: Frame, shown: Shown) -> float:
    """Mean difference of a frame from what is on screen at its time, in gray levels; infinite for another size."""
    image = shown.at(frame.seconds)
    if image.shape != frame.image.shape:
        return float("inf")
    return float(cv2.absdiff(image, frame.image).mean())

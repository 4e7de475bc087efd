"""Reading videos as a perturbation leaves them, and writing them so.

Frames that are changed one by one are changed as they are read. What encodes the whole video goes through the encoder
to a temporary file, which is read in place of the video.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from deepfake.media.containers import container_of
from deepfake.media.encode import NEARLY_LOSSLESS, Encoding, transcode, write_video
from deepfake.media.video import LIMITS, Frame, ReadLimits, Video, VideoInfo, open_video
from deepfake.storage.run_folder import run_folder
from deepfake.synthesis.perturbations.perturbation import Perturbation, VideoPlan

FOLDER_PREFIX = "deepfake-perturbed-"
"""Of temporary folders."""

_LOSSLESS = 0
_PICTURE_FPS = 25.0
"""Of a picture that becomes a video of one frame."""


class PerturbedVideo:
    """An open video whose frames are changed as they are read."""

    def __init__(self, video: Video, plan: VideoPlan) -> None:
        self._video, self._plan = video, plan
        self.frames = video.frames

    @property
    def doubts(self) -> list[str]:
        return self._video.doubts

    def info(self) -> VideoInfo:
        first, _ = next(self.nearest([0]))
        height, width = first.image.shape[:2]
        return replace(self._video.info(), width=width, height=height)

    def length(self) -> float:
        return self._video.length()

    def times(self) -> list[float]:
        return self._video.times()

    def exactly(self, indices: Collection[int]) -> Iterator[Frame]:
        return map(self._changed, self._video.exactly(indices))

    def nearest(self, indices: Collection[int], thorough: bool = False) -> Iterator[tuple[Frame, frozenset[int]]]:
        for frame, wanted in self._video.nearest(indices, thorough):
            yield self._changed(frame), wanted

    def _changed(self, frame: Frame) -> Frame:
        return replace(frame, image=self._plan.frame(frame.index, frame.image))


@contextlib.contextmanager
def open_perturbed(path: Path, perturbation: Perturbation | None, limits: ReadLimits = LIMITS) -> Iterator[Video]:
    """Open a video as a perturbation leaves it; None leaves it as it is.

    Raises:
        VideoError: it cannot be read.
        EncodeError: the encoder refuses it.
    """
    plan = VideoPlan() if perturbation is None else perturbation.plan(path.stem)
    if not plan.encodings:
        video = open_video(path, 1, limits)
        yield PerturbedVideo(video, plan) if plan.steps else video
        return
    with run_folder(FOLDER_PREFIX) as folder:
        copy = folder / f"{path.stem}.mp4"
        write_perturbed(path, copy, replace(plan, keeps_sound=False), limits)
        yield open_video(copy, 1, limits)


def write_perturbed(
    source: Path, path: Path, plan: VideoPlan, limits: ReadLimits = LIMITS, crf: int = NEARLY_LOSSLESS
) -> None:
    """Write a video, picture or folder of pictures as a plan leaves it. Its sound is copied unless the plan removes it.

    Args:
        path: the suffix names the container.
        crf: x264's constant rate factor of a video whose encoding is no part of the plan.

    Raises:
        VideoError: the source cannot be read.
        EncodeError: the encoder refuses it, or the container cannot hold the sound.
        OSError: the disk is full.
    """
    is_picture = source.is_dir() or container_of(source) is None
    sound = source if plan.keeps_sound and not is_picture else None
    with run_folder(FOLDER_PREFIX) as folder:
        encodings = list(plan.encodings)
        if plan.steps or is_picture:
            target = folder / f"frames{path.suffix}" if encodings else path
            video = PerturbedVideo(open_video(source, 1, limits), plan)
            frame_rate = video.info().fps or _PICTURE_FPS
            write_video(target, _every_image(video), frame_rate, _LOSSLESS if encodings else crf, sound)
            source = target
        elif not encodings:
            encodings = [Encoding(crf)]
        for number, encoding in enumerate(encodings, 1):
            target = path if number == len(encodings) else folder / f"{number}{path.suffix}"
            transcode(source, target, encoding, limits, keeps_sound=sound is not None)
            source = target


def _every_image(video: Video) -> Iterator[np.ndarray]:
    """The images of all frames; in place of a lost one the next, so that frame N stays frame N."""
    for frame, indices in video.nearest(range(video.frames)):
        for _ in indices:
            yield frame.image

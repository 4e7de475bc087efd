"""The names that published notebooks import: video -> faces -> scores -> one number.

Nothing else in this project uses them. New code begins with `deepfake.prediction.load_predictor`, which also knows what
checkpoints need, aligned faces, and what to do with bad videos.
"""

from __future__ import annotations

import deepfake.parallel.idle_threads

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn
from torchvision.transforms import Normalize

from deepfake.faces.boxes import Face
from deepfake.faces.recipes import CropRecipe
from deepfake.media.images import IMAGENET, center_pad, fit_square, isotropic_resize
from deepfake.media.video import Frame, SpreadFrames, VideoError, chosen_frames, chunked, open_video
from deepfake.parallel.pool import Part, portable, stream
from deepfake.parallel.threads import shared_threads
from deepfake.prediction.face_collector import crop_faces
from deepfake.prediction.face_scorer import FaceScorer
from deepfake.scoring.aggregation import FAKE_THRESHOLD, FRAMES_PER_VIDEO, Aggregation, confident_score, ensemble_score
from deepfake.storage.names import one_line, printable

log = logging.getLogger(__name__)

PUBLISHED_ROOM = 4
"""The published code makes room for four faces a frame, and leaves the last place empty."""

COMPRESSION_QUALITY = 90
"""JPEG quality of `apply_compression`, as published."""


normalize_transform = Normalize(IMAGENET.mean, IMAGENET.std)
"""ImageNet's normalization of (..., 3, H, W) tensors in 0..1, under its published name."""


Reader = Callable[[Any], tuple[np.ndarray, Sequence[int]] | None]


class VideoReader:
    """Reads frames spread evenly over a video."""

    def read_frames(self, path: str | Path, num_frames: int = FRAMES_PER_VIDEO) -> tuple[np.ndarray, list[int]]:
        """Return (n, H, W, 3) uint8 RGB frames from the first to the last, n <= num_frames, and their indices.

        What is missing in the file (`deepfake.media.video.Video.doubts`) is logged as a warning.

        Raises:
            VideoError: unreadable, or not one frame in it.
        """
        video = open_video(Path(path), 1)
        frames = list(chosen_frames(video, [SpreadFrames(num_frames)]))
        for doubt in video.doubts:
            log.warning(one_line(f"{path}: {doubt}"))
        return np.stack([frame.image for frame in frames]), [frame.index for frame in frames]


class FaceExtractor:
    """Finds and crops the faces of a video.

    Args:
        video_read_fn: path -> (frames (n, H, W, 3) uint8 RGB, their n indices), e.g. `VideoReader().read_frames`; None
            for a video that it cannot read.
        recipe: detector settings and margin; default: first place's for prediction.
        device: where to detect.
    """

    def __init__(self, video_read_fn: Reader, recipe: CropRecipe | None = None, device: str = "cpu") -> None:
        self.video_read_fn = video_read_fn
        self.recipe = recipe or CropRecipe()
        self.device = torch.device(device)
        self._detector = self.recipe.settings.build(device)

    def process_video(self, video_path: str | Path) -> list[dict[str, Any]]:
        """One entry a frame: `frame_idx`, `frame_w`, `frame_h`, `faces` (crops, (h, w, 3) uint8 RGB, largest first),
        `boxes` (x1, y1, x2, y2 in full-frame pixels) and `scores` (the detector's confidences).

        Raises:
            VideoError: see `read`.
        """
        return self.process_frames(*self.read(video_path))

    def read(self, video_path: str | Path) -> tuple[np.ndarray, Sequence[int]]:
        """Return what `video_read_fn` reads of a video.

        Raises:
            VideoError: it read nothing, or raised this itself.
        """
        frames = self.video_read_fn(video_path)
        if frames is None:
            raise VideoError(f"{video_path}: video_read_fn returned None, no frames")
        return frames

    def process_frames(self, frames: np.ndarray, indices: Sequence[int]) -> list[dict[str, Any]]:
        """`process_video` for frames that are read already."""
        entries = []
        chunks = list(chunked(Frame(index, image) for index, image in zip(indices, frames)))
        for chunk, found_in_chunk in zip(chunks, self._detect(chunks)):
            for frame, faces in zip(chunk, found_in_chunk):
                found = list(crop_faces(frame.image, faces, self.recipe.margin))
                height, width = frame.image.shape[:2]
                entries.append(
                    {
                        "frame_idx": frame.index,
                        "frame_w": width,
                        "frame_h": height,
                        "faces": [crop for _, crop in found],
                        "boxes": [face.box for face, _ in found],
                        "scores": [face.score for face, _ in found],
                    }
                )
        return entries

    def _detect(self, chunks: Sequence[Sequence[Frame]]) -> list[list[list[Face]]]:
        """The faces in each frame of each chunk; on a CPU each core detects in chunks of its own."""

        def detect(chunk: Sequence[Frame]) -> list[list[Face]]:
            return self._detector.detect([frame.image for frame in chunk])

        return shared_threads().map(detect, chunks) if self.device.type == "cpu" else [detect(c) for c in chunks]


def isotropically_resize_image(
    img: np.ndarray, size: int, interpolation_down: int = cv2.INTER_AREA, interpolation_up: int = cv2.INTER_CUBIC
) -> np.ndarray:
    """`deepfake.media.images.isotropic_resize` under its published name."""
    return isotropic_resize(img, size, interpolation_down, interpolation_up)


def put_to_center(img: np.ndarray, input_size: int) -> np.ndarray:
    """Put an (H, W, 3) image, cut to `input_size`, on the center of a black (input_size, input_size, 3) uint8 one."""
    return center_pad(img[:input_size, :input_size].astype(np.uint8), input_size)


def confident_strategy(pred: Sequence[float] | np.ndarray, t: float = FAKE_THRESHOLD) -> float:
    """First place's aggregation under its published name; see `deepfake.scoring.aggregation.confident_score`."""
    return confident_score(pred, t)


def predict_on_video(
    face_extractor: FaceExtractor,
    video_path: str | Path,
    batch_size: int,
    input_size: int,
    models: Sequence[nn.Module],
    strategy: Aggregation = np.mean,
    apply_compression: bool = False,
) -> float:
    """Scores one video.

    Args:
        batch_size: room for faces, as published: the first `batch_size - 1` are scored.
        input_size: side of the networks' input in pixels.
        models: networks, ImageNet normalization, one logit. Those in training mode are put into evaluation mode, with
            a warning.
        strategy: one model's face scores -> its video score.
        apply_compression: compress faces as JPEG before scoring.

    Returns:
        The probability of fake; nan for a video without a face, which has no score.

    Raises:
        ValueError: no models.
        VideoError: unreadable, or not one frame in it.
    """
    scorers = _scorers(models)
    entries = face_extractor.process_video(video_path)
    images = _fitted_faces(entries, batch_size - 1, input_size, apply_compression)
    return _ensemble(images, scorers, strategy)


def predict_on_video_set(
    face_extractor: FaceExtractor,
    videos: Sequence[str],
    input_size: int,
    num_workers: int,
    test_dir: str | Path,
    frames_per_video: int,
    models: Sequence[nn.Module],
    strategy: Aggregation = np.mean,
    apply_compression: bool = False,
) -> list[float]:
    """Scores the named videos of a folder: one probability of fake each, in their order.

    A video without a score (no face, unreadable) is nan and is logged; one broken video stops nothing. Arguments as for
    `predict_on_video`; `num_workers` processes read ahead (0: this process reads, and a crash of the decoder ends it);
    `frames_per_video` bounds the faces (four a frame).

    Raises:
        ValueError: no models, or a negative number of workers.
    """
    scorers = _scorers(models)
    fit = partial(
        _fitted_faces,
        limit=frames_per_video * PUBLISHED_ROOM - 1,
        input_size=input_size,
        apply_compression=apply_compression,
    )
    on_cpu = face_extractor.device.type == "cpu"

    def prepare(path: Path) -> Iterator[Any]:  # in a process of its own, which must not touch CUDA
        frames = face_extractor.read(path)
        yield fit(face_extractor.process_frames(*frames)) if on_cpu else frames

    scores: dict[Path, float] = {}
    paths = [Path(test_dir) / video for video in videos]
    work = stream if num_workers else _parts_here
    for part in work(list(dict.fromkeys(paths)), prepare, num_workers):
        if part.error is not None:
            log.warning(one_line(f"{part.item} has no score: {part.error}"))
            scores[part.item] = math.nan
        elif not part.last:
            images = part.value if on_cpu else fit(face_extractor.process_frames(*part.value))
            scores[part.item] = _ensemble(images, scorers, strategy)
            if not len(images):
                log.warning("%s has no score: no face was found", printable(str(part.item)))
    return [scores[path] for path in paths]


def _scorers(models: Sequence[nn.Module]) -> list[FaceScorer]:
    if not len(models):
        raise ValueError("models: none; expected one or more networks")
    for network in models:
        # A wrapper such as DataParallel begins in training mode, whatever it wraps.
        if any(module.training for module in network.modules() if not list(module.children())):
            log.warning("a %s in training mode was put into evaluation mode (eval())", type(network).__name__)
            network.eval()
    return [FaceScorer(network) for network in models]


def _parts_here(paths: Sequence[Path], prepare: Callable[[Path], Iterator[Any]], _: int = 0) -> Iterator[Part[Path]]:
    """`deepfake.parallel.pool.stream` without processes."""
    for path in paths:
        error = None
        try:
            for value in prepare(path):
                yield Part(path, value)
        except Exception as raised:  # that video's alone, as in a worker process
            error = portable(raised)
        yield Part(path, last=True, error=error)


def _fitted_faces(
    entries: Sequence[dict[str, Any]], limit: int, input_size: int, apply_compression: bool
) -> np.ndarray:
    """(n, input_size, input_size, 3) uint8 pictures of the first faces."""
    images = [fit_square(face, input_size) for entry in entries for face in entry["faces"]][: max(limit, 0)]
    if apply_compression:
        images = [_compressed(image) for image in images]
    return np.stack(images) if images else np.empty((0, input_size, input_size, 3), np.uint8)


def _compressed(image: np.ndarray) -> np.ndarray:
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, COMPRESSION_QUALITY])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)


def _ensemble(images: np.ndarray, scorers: Sequence[FaceScorer], strategy: Aggregation) -> float:
    if not len(images):
        return math.nan
    return ensemble_score([float(strategy(scorer(images))) for scorer in scorers])

"""RetinaFace (Deng et al. 2019, arXiv 1905.00641): faces and five landmarks in one look.

Second place's detector (ResNet50 body) and its small sister (MobileNet0.25), with the weights published for
github.com/biubug6/Pytorch_Retinaface; the networks are in `retinaface_network`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from deepfake.faces.boxes import Face
from deepfake.faces.detectors import retinaface_network
from deepfake.faces.detectors.base import auto_scale, positions_by_size
from deepfake.faces.detectors.nms import nms
from deepfake.models.inference.prepare import Network, for_inference
from deepfake.models.precision import FLOAT32
from deepfake.models.weight_files import CheckpointError, build_outline, load_state, read_state_dict
from deepfake.published import SECOND_PLACE_SOURCE

if TYPE_CHECKING:
    from deepfake.faces.detectors.settings.retinaface import RetinaFaceSettings

MEAN_BGR = (104.0, 117.0, 123.0)
CENTER_VARIANCE, SIZE_VARIANCE = 0.1, 0.2

BATCH_PIXELS = 8 << 20
"""Pixels of scaled frames a network call, four frames of 1920x1080: bounds memory."""

EXAMPLE_SIDE = 320
"""Pixels: convolutions are packed for frames of this size on a CPU, whatever size comes."""

Sizes = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Variant:
    """A network with what belongs to its published weights.

    Attributes:
        build: makes the network.
        file_name: the published weight file.
        source: where to get it.
        anchor_sizes: sides in pixels of the anchors of each feature map, finest first.
    """

    build: Callable[[], retinaface_network.RetinaFaceNet]
    file_name: str
    source: str
    anchor_sizes: Sizes


VARIANTS = {
    "resnet50": Variant(
        retinaface_network.resnet50,
        "RetinaFace-Resnet50-fixed.pth",
        SECOND_PLACE_SOURCE,
        ((16, 32), (64, 128), (256, 512)),
    ),
    "mobilenet0.25": Variant(
        retinaface_network.mobilenet025,
        "mobilenet0.25_Final.pth",
        "github.com/biubug6/Pytorch_Retinaface",
        ((10, 20), (32, 64), (128, 256)),
    ),
    "mobilenet0.25-relu": Variant(
        partial(retinaface_network.mobilenet025, leak=0.0),
        "mobilenet0.25_Final.pth",
        "github.com/biubug6/Face-Detector-1MB-with-landmark",
        ((10, 20), (32, 64), (128, 256)),
    ),
}
"""The networks by name (`RETINAFACE_NETWORKS`)."""


class RetinaFace:
    """The detector. Frames are scaled as the settings say; faces come back in pixels of the given frame.

    Args:
        settings: network, thresholds, scale.
        weights: the network's published weight file (`weights_path`).
        device: where the network runs.

    Raises:
        ValueError: the weight file is missing, or is not that network's; the message tells the cure.
    """

    def __init__(self, settings: RetinaFaceSettings, weights: Path, device: str | torch.device = "cpu") -> None:
        self.settings = settings
        self.device = torch.device(device)
        self._sizes = VARIANTS[settings.network].anchor_sizes
        network = _load(settings.network, Path(weights)).to(self.device)
        self._network = _for_one_thread(network) if self.device.type == "cpu" else network

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Face]]:
        """See `FaceDetector.detect`. Frames of equal size share the network's batches."""
        found: list[list[Face]] = [[] for _ in frames]
        for (height, width), members in positions_by_size(frames).items():
            scale = self.settings.scale or auto_scale(height, width)
            most = max(int(BATCH_PIXELS / (height * width * scale * scale)), 1)
            for start in range(0, len(members), most):
                batch = members[start : start + most]
                scaled = np.stack([_scale_frame(frames[i], scale) for i in batch])
                for i, faces in zip(batch, self._detect_equal(scaled)):
                    found[i] = [face.scaled(1 / scale) for face in faces]
        return found

    @torch.inference_mode()
    def _detect_equal(self, frames: np.ndarray) -> list[list[Face]]:
        """The faces of (n, h, w, 3) uint8 RGB frames, largest first, in their pixels.

        Raises ValueError if the network computes numbers that are not finite.
        """
        pixels = torch.from_numpy(frames).to(self.device).permute(0, 3, 1, 2).flip(1).float()
        pixels -= pixels.new_tensor(MEAN_BGR)[:, None, None]
        offsets, probability, points = self._network(pixels)
        if not probability.isfinite().all():  # else every frame would be without a face
            raise ValueError("RetinaFace computed numbers that are not finite: its weights are damaged")
        # Most anchors see no face: choose before decoding, and before anything leaves the device.
        owners, chosen = torch.nonzero(probability[..., 1] > self.settings.confidence, as_tuple=True)
        height, width = frames.shape[1:3]
        at = anchors(height, width, self._sizes, self.device)[chosen]
        size = offsets.new_tensor([width, height])
        boxes = (decode_boxes(offsets[owners, chosen], at) * size.repeat(2)).cpu().numpy()
        landmarks = (decode_landmarks(points[owners, chosen], at) * size).cpu().numpy()
        scores = probability[owners, chosen, 1].cpu().numpy()
        frame_of = owners.cpu().numpy()
        return [
            self._faces(boxes[own], scores[own], landmarks[own]) for own in (frame_of == i for i in range(len(frames)))
        ]

    def _faces(self, boxes: np.ndarray, scores: np.ndarray, landmarks: np.ndarray) -> list[Face]:
        """One frame's faces, largest first."""
        kept = range(len(boxes)) if self.settings.nms is None else nms(boxes, scores, self.settings.nms)
        faces = [
            Face(tuple(boxes[i].tolist()), float(scores[i]), tuple(map(tuple, landmarks[i].tolist()))) for i in kept
        ]
        return sorted(faces, key=lambda face: -face.area)


def weights_path(folder: Path, network: str) -> Path:
    """Where the published weights of a network of `VARIANTS` lie in a folder of weights."""
    return folder / VARIANTS[network].file_name


@lru_cache(maxsize=16)
def anchors(height: int, width: int, sizes: Sizes, device: torch.device) -> torch.Tensor:
    """The anchors of a frame size, computed once.

    Args:
        height, width: of the frame, in pixels.
        sizes: see `Variant.anchor_sizes`.
        device: where the result lies.

    Returns:
        (A, 4) float32, in shares of the frame's width and height: center x, y, width, height; level by level, then row
        by row, cell by cell, size by size. Shared between calls: not to be written to.
    """
    levels = []
    for stride, sides in zip(retinaface_network.STRIDES, sizes):
        rows, columns, side = np.meshgrid(
            np.arange(math.ceil(height / stride)), np.arange(math.ceil(width / stride)), sides, indexing="ij"
        )
        centres = [(columns + 0.5) * stride / width, (rows + 0.5) * stride / height]
        levels.append(np.stack([*centres, side / width, side / height], -1).reshape(-1, 4))
    return torch.from_numpy(np.concatenate(levels).astype(np.float32)).to(device)


def decode_boxes(offsets: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    """Box offsets (n, 4) at their anchors (n, 4) -> (n, 4) as x1, y1, x2, y2 in shares of the frame's size."""
    centres = at[:, :2] + offsets[:, :2] * CENTER_VARIANCE * at[:, 2:]
    sizes = at[:, 2:] * torch.exp(offsets[:, 2:] * SIZE_VARIANCE)
    corners = centres - sizes / 2
    return torch.cat([corners, corners + sizes], 1)


def decode_landmarks(offsets: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    """Landmark offsets (n, 10) at their anchors (n, 4) -> (n, 5, 2) as x, y in shares of the frame's size."""
    return at[:, None, :2] + offsets.reshape(-1, 5, 2) * CENTER_VARIANCE * at[:, None, 2:]


def _load(name: str, path: Path) -> torch.nn.Module:
    variant = VARIANTS[name]
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no such file; RetinaFace needs its published weights {variant.file_name}: get them from "
            f"{variant.source} and put them there, usually into weights/ (--detector mtcnn needs none)"
        )
    network = build_outline(variant.build).to_empty(device="cpu")  # every value comes from the file
    load_state(network, read_state_dict(path), path, f"RetinaFace {name}")
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def _for_one_thread(network: torch.nn.Module) -> Network:
    """A network on the CPU in its form for inference, made for one thread as in the processes that read videos, and for
    frames of one size: whichever come first, the same rounding."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return for_inference(network, FLOAT32, torch.zeros(1, 3, EXAMPLE_SIDE, EXAMPLE_SIDE))
    finally:
        torch.set_num_threads(threads)


def _scale_frame(frame: np.ndarray, scale: float) -> np.ndarray:
    if scale == 1:
        return frame
    size = max(round(frame.shape[1] * scale), 1), max(round(frame.shape[0] * scale), 1)
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)

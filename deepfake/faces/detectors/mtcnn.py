"""MTCNN (Zhang et al. 2016, arXiv 1604.02878) with the weights that facenet-pytorch ships.

Agrees with facenet-pytorch 2.5.3, which both published solutions' boxes come from, and is faster: area resizing reads
an integral image instead of pooling, and proposals of all levels are refined in one batch.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from deepfake.faces.boxes import Face
from deepfake.faces.detectors.base import auto_scale, positions_by_size
from deepfake.faces.detectors.nms import nms

if TYPE_CHECKING:
    from deepfake.faces.detectors.settings.mtcnn import MTCNNSettings

PNET_CELL, PNET_STRIDE = 12, 2
PNET_WIDTH = 16
RNET_SIZE, ONET_SIZE = 24, 48
NMS_LEVEL, NMS_IMAGE, NMS_FINAL = 0.5, 0.7, 0.7
PIXEL_MEAN, PIXEL_SCALE = 127.5, 1 / 128

PIXELS_A_CALL, PIXELS_A_CALL_CPU = 1_200_000, 40_000
"""Pixels that one network call is given, if one picture is not more: bounds memory in crowded frames. Of so few, a
CPU's cache holds the widest layer."""

BAND_PIXELS, MIN_BAND_ROWS = 1 << 16, 32
"""Pixels of a level of the pyramid that are worked on at a time on a CPU. What the layers make
of all of them would be several times the frame."""


class MTCNN:
    """The three-stage detector. Frames are scaled as the settings say; faces come back in pixels of the given frame."""

    def __init__(self, settings: MTCNNSettings, device: str | torch.device = "cpu") -> None:
        self.settings = settings
        self.device = torch.device(device)
        self._pnet = _load(PNet(), "pnet").to(self.device)
        self._rnet = _load(RNet(), "rnet").to(self.device)
        self._onet = _load(ONet(), "onet").to(self.device)

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Face]]:
        """See `FaceDetector.detect`. Frames of equal size share the first stage's batches."""
        found: list[list[Face]] = [[] for _ in frames]
        for (height, width), members in positions_by_size(frames).items():
            scale = self.settings.scale or auto_scale(height, width)
            scaled = [_scale_frame(frames[i], scale) for i in members]
            for i, faces in zip(members, self._detect_equal(scaled)):
                found[i] = [face.scaled(1 / scale) for face in faces]
        return found

    @torch.inference_mode()
    def _detect_equal(self, frames: list[np.ndarray]) -> list[list[Face]]:
        integrals = [cv2.integral(frame) for frame in frames]
        proposals = self._propose(integrals)
        boxes, owners = self._refine(integrals, proposals)
        return self._output(integrals, boxes, owners)

    def _propose(self, integrals: list[np.ndarray]) -> list[np.ndarray]:
        """First stage: (n, 4) square boxes per frame from a fully convolutional network over a pyramid."""
        height, width = integrals[0].shape[0] - 1, integrals[0].shape[1] - 1
        found: list[list[np.ndarray]] = [[] for _ in integrals]
        for scale in pyramid_scales(height, width, self.settings):
            size = int(height * scale + 1), int(width * scale + 1)
            offsets, probability = self._run(self._pnet, _area_resize(integrals, size))
            for i in range(len(integrals)):
                candidates = _level_candidates(probability[i], offsets[i], scale, self.settings.thresholds[0])
                found[i].append(candidates[nms(candidates[:, :4], candidates[:, 4], NMS_LEVEL)])
        return [_merge_levels(levels) for levels in found]

    def _refine(self, integrals: list[np.ndarray], proposals: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Second stage: rejects most proposals, calibrates the rest. Returns (n, 4) square boxes and their frames."""
        owners = np.repeat(np.arange(len(proposals)), [len(p) for p in proposals])
        boxes = np.concatenate(proposals)
        batch, boxes, owners = _cut_out(integrals, boxes, owners, RNET_SIZE)
        offsets, probability = self._run(self._rnet, batch)
        keep = probability > self.settings.thresholds[1]
        boxes, owners, offsets, probability = boxes[keep], owners[keep], offsets[keep], probability[keep]
        picks = _nms_by_frame(boxes, probability, owners, NMS_IMAGE)
        return _squared(_calibrated(boxes[picks], offsets[picks])), owners[picks]

    def _output(self, integrals: list[np.ndarray], boxes: np.ndarray, owners: np.ndarray) -> list[list[Face]]:
        """Third stage: final boxes, scores and five landmarks, largest face first."""
        batch, boxes, owners = _cut_out(integrals, boxes, owners, ONET_SIZE)
        offsets, points, probability = self._run(self._onet, batch)
        keep = probability > self.settings.thresholds[2]
        boxes, owners, offsets = boxes[keep], owners[keep], offsets[keep]
        points, probability = points[keep], probability[keep]
        sizes = boxes[:, 2:] - boxes[:, :2] + 1
        landmarks = points.reshape(-1, 2, 5).transpose(0, 2, 1) * sizes[:, None] + boxes[:, None, :2] - 1
        boxes = _calibrated(boxes, offsets)
        picks = _nms_by_frame(boxes, probability, owners, NMS_FINAL, smaller_area=True)
        faces: list[list[Face]] = [[] for _ in integrals]
        for i in picks:
            faces[owners[i]].append(
                Face(tuple(boxes[i].tolist()), float(probability[i]), tuple(map(tuple, landmarks[i].tolist())))
            )
        return [sorted(found, key=lambda face: -face.area) for found in faces]

    def _run(self, network: nn.Module, batch: np.ndarray) -> list[np.ndarray]:
        """Runs a stage's network on (n, h, w, 3) pixels in 0..255; float32 arrays, faces' probability last."""
        outputs = []
        pixels_a_call = PIXELS_A_CALL_CPU if self.device.type == "cpu" else PIXELS_A_CALL
        at_once = max(pixels_a_call // (batch.shape[1] * batch.shape[2]), 1)
        for start in range(0, max(len(batch), 1), at_once):
            pixels = torch.from_numpy(batch[start : start + at_once]).to(self.device)
            values = network(pixels.permute(0, 3, 1, 2))
            outputs.append([value.float().cpu().numpy() for value in values])
        return [np.concatenate(parts) for parts in zip(*outputs)]


class PNet(nn.Module):
    """Proposal network; keys as in facenet-pytorch. Returns box offsets (n, 4, h, w) and face probability (n, h, w).

    It runs over whole pictures, so its forward computes the same as the layers, cheaper: ten channels are widened to
    sixteen (a vector register's worth), pooling is two pairwise maxima, both heads are one convolution.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 10, 3), nn.PReLU(10)
        self.conv2, self.prelu2 = nn.Conv2d(10, 16, 3), nn.PReLU(16)
        self.conv3, self.prelu3 = nn.Conv2d(16, 32, 3), nn.PReLU(32)
        self.conv4_1 = nn.Conv2d(32, 2, 1)
        self.conv4_2 = nn.Conv2d(32, 4, 1)
        self._fused: tuple[torch.Tensor, ...] = ()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if not self._fused or self._fused[0].device != x.device:
            self._fused = self._fuse()
        x = torch.cat([self._heads(band) for band in _bands(x)], 2)
        return x[:, :4], x[:, 4].sigmoid()

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        first, first_bias, first_slope, second, heads, heads_bias = self._fused
        x = _max_pool_2x2(F.prelu(F.conv2d(x, first, first_bias), first_slope))
        x = self.prelu2(F.conv2d(x, second, self.conv2.bias))
        return F.conv2d(self.prelu3(self.conv3(x)), heads, heads_bias)

    def _fuse(self) -> tuple[torch.Tensor, ...]:
        more = PNET_WIDTH - self.conv1.out_channels
        first = F.pad(self.conv1.weight, (0, 0, 0, 0, 0, 0, 0, more))
        second = F.pad(self.conv2.weight, (0, 0, 0, 0, 0, more))
        assert self.conv1.bias is not None and self.conv4_1.bias is not None and self.conv4_2.bias is not None
        # Softmax over two is the sigmoid of their difference.
        face, bias = self.conv4_1.weight, self.conv4_1.bias
        heads = torch.cat([self.conv4_2.weight, face[1:] - face[:1]])
        return (
            first.contiguous(memory_format=torch.channels_last),
            F.pad(self.conv1.bias, (0, more)),
            F.pad(self.prelu1.weight, (0, more)),
            second.contiguous(memory_format=torch.channels_last),
            heads.contiguous(memory_format=torch.channels_last),
            torch.cat([self.conv4_2.bias, bias[1:] - bias[:1]]),
        )


class RNet(nn.Module):
    """Refinement network on 24x24 patches. Returns box offsets (n, 4) and face probability (n,)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 28, 3), nn.PReLU(28)
        self.conv2, self.prelu2 = nn.Conv2d(28, 48, 3), nn.PReLU(48)
        self.conv3, self.prelu3 = nn.Conv2d(48, 64, 2), nn.PReLU(64)
        self.dense4, self.prelu4 = nn.Linear(576, 128), nn.PReLU(128)
        self.dense5_1, self.dense5_2 = nn.Linear(128, 2), nn.Linear(128, 4)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = F.max_pool2d(self.prelu1(self.conv1(x)), 3, 2, ceil_mode=True)
        x = F.max_pool2d(self.prelu2(self.conv2(x)), 3, 2, ceil_mode=True)
        x = self.prelu3(self.conv3(x))
        x = self.prelu4(self.dense4(x.permute(0, 3, 2, 1).flatten(1)))
        return self.dense5_2(x), self.dense5_1(x).softmax(1)[:, 1]


class ONet(nn.Module):
    """Output network on 48x48 patches. Returns box offsets (n, 4), landmarks (n, 10) and face probability (n,).

    Landmarks are five x, then five y, in units of the patch's box.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 32, 3), nn.PReLU(32)
        self.conv2, self.prelu2 = nn.Conv2d(32, 64, 3), nn.PReLU(64)
        self.conv3, self.prelu3 = nn.Conv2d(64, 64, 3), nn.PReLU(64)
        self.conv4, self.prelu4 = nn.Conv2d(64, 128, 2), nn.PReLU(128)
        self.dense5, self.prelu5 = nn.Linear(1152, 256), nn.PReLU(256)
        self.dense6_1, self.dense6_2, self.dense6_3 = nn.Linear(256, 2), nn.Linear(256, 4), nn.Linear(256, 10)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        x = F.max_pool2d(self.prelu1(self.conv1(x)), 3, 2, ceil_mode=True)
        x = F.max_pool2d(self.prelu2(self.conv2(x)), 3, 2, ceil_mode=True)
        x = F.max_pool2d(self.prelu3(self.conv3(x)), 2, 2, ceil_mode=True)
        x = self.prelu4(self.conv4(x))
        x = self.prelu5(self.dense5(x.permute(0, 3, 2, 1).flatten(1)))
        return self.dense6_2(x), self.dense6_3(x), self.dense6_1(x).softmax(1)[:, 1]


def _bands(x: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield (n, c, h, w) in bands of rows whose cells are those of the whole, each once."""
    if x.is_cuda:  # many small calls would keep it waiting
        yield x
        return
    height = x.shape[2]
    step = max(BAND_PIXELS // (x.shape[0] * x.shape[3]), MIN_BAND_ROWS) // PNET_STRIDE * PNET_STRIDE
    # Pooling makes a cell of a last odd row, too.
    for top in range(0, max(height - PNET_CELL + 2, 1), step):
        yield x[:, :, top : top + step + PNET_CELL - PNET_STRIDE]


def _max_pool_2x2(x: torch.Tensor) -> torch.Tensor:
    """Max pooling, kernel and stride 2, of (n, c, h, w); a last odd row or column stands alone (ceil mode)."""
    for dim in (2, 3):
        pairs, length = x.shape[dim] // 2, x.shape[dim]
        first, second = _every_second(x, dim, 0), _every_second(x, dim, 1)
        x = torch.maximum(first.narrow(dim, 0, pairs), second)
        if length % 2:
            x = torch.cat([x, first.narrow(dim, pairs, 1)], dim)
    return x


def _every_second(x: torch.Tensor, dim: int, start: int) -> torch.Tensor:
    return x[:, :, start::2] if dim == 2 else x[:, :, :, start::2]


def pyramid_scales(height: int, width: int, settings: MTCNNSettings) -> list[float]:
    """The scales at which the first stage's 12-pixel cell spans faces from the smallest wanted to the whole frame."""
    scale = PNET_CELL / settings.min_face
    shorter = min(height, width)
    scales = []
    while shorter * scale >= PNET_CELL:
        if PNET_CELL / scale >= settings.min_share * shorter:
            scales.append(scale)
        scale *= settings.factor
    return scales


def _load(network: nn.Module, name: str) -> nn.Module:
    # find_spec of the package does not import it: its import pulls torchvision and costs seconds.
    package = importlib.util.find_spec("facenet_pytorch")
    if package is None or package.origin is None:
        raise ValueError("the MTCNN weights are missing: pip install --no-deps facenet-pytorch==2.5.3")
    weights = torch.load(Path(package.origin).parent / "data" / f"{name}.pt", map_location="cpu", weights_only=True)
    # The networks expect (pixel - mean) * scale; their first convolution can do that on its way.
    weights["conv1.weight"] *= PIXEL_SCALE
    weights["conv1.bias"] -= PIXEL_MEAN * weights["conv1.weight"].sum((1, 2, 3))
    network.load_state_dict(weights)
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def _scale_frame(frame: np.ndarray, scale: float) -> np.ndarray:
    if scale == 1:
        return np.ascontiguousarray(frame)
    height, width = frame.shape[:2]
    size = max(int(height * scale), 1), max(int(width * scale), 1)
    # Published boxes were found on frames reduced with Pillow's bicubic filter, which averages. This one is that
    # filter with shorter weights: few pixels differ, by one gray level, at a quarter of the time.
    planes = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)
    scaled = F.interpolate(planes[None], size, mode="bicubic", antialias=True)[0]
    return np.ascontiguousarray(scaled.permute(1, 2, 0).numpy())


def _area_resize(integrals: list[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """`_area_pool` of whole pictures to (n, height, width, 3): rows first, far cheaper than corner by corner."""
    height, width, channels = integrals[0].shape
    top, bottom = (edges[0] for edges in _bins(np.array([0]), np.array([height - 1]), size[0]))
    left, right = (edges[0] for edges in _bins(np.array([0]), np.array([width - 1]), size[1]))
    counts = _counts(bottom - top, right - left, channels)
    resized = np.empty((len(integrals), *size, channels), np.float32)
    at_once = max(BAND_PIXELS // width, 1)
    for integral, means in zip(integrals, resized):
        for start in range(0, size[0], at_once):
            band = slice(start, start + at_once)
            rows = integral[bottom[band]]
            rows -= integral[top[band]]
            sums = rows.take(right, axis=1)
            sums -= rows.take(left, axis=1)
            count = counts[band]
            np.divide(sums.reshape(count.shape).astype(np.float32), count, out=means[band].reshape(count.shape))
    return resized


def _area_pool(integral: np.ndarray, boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Adaptive average pooling of windows of a picture, read from its integral image.

    Args:
        integral: (H + 1, W + 1, 3) integral image.
        boxes: (n, 4) integer windows x1, y1, x2, y2, not empty.
        size: (height, width) of the result.

    Returns:
        (n, height, width, 3) float32 means in 0..255.
    """
    top, bottom = _bins(boxes[:, 1], boxes[:, 3], size[0])
    left, right = _bins(boxes[:, 0], boxes[:, 2], size[1])
    # One index a pixel: `take` copies pixels several times as fast as indexing by row and column.
    pixels, (_, width, channels) = integral.reshape(-1, integral.shape[2]), integral.shape
    low, high = (top * width)[:, :, None], (bottom * width)[:, :, None]
    left_edge, right_edge = left[:, None], right[:, None]
    sums = pixels.take(high + right_edge, axis=0)
    sums -= pixels.take(low + right_edge, axis=0)
    sums -= pixels.take(high + left_edge, axis=0)
    sums += pixels.take(low + left_edge, axis=0)
    counts = _counts(bottom - top, right - left, channels)
    means = sums.reshape(counts.shape).astype(np.float32) / counts
    return means.reshape(len(boxes), *size, channels)


def _counts(heights: np.ndarray, widths: np.ndarray, channels: int) -> np.ndarray:
    """(..., rows, columns * channels) float32 pixels a bin, from bins' heights (..., rows) and widths (..., columns).

    Once a channel: dividing (rows, columns, channels) by (rows, columns, 1) is a loop of three steps a pixel.
    """
    repeated = np.repeat(widths, channels, axis=-1).astype(np.float32)
    return heights[..., :, None].astype(np.float32) * repeated[..., None, :]


def _bins(start: np.ndarray, end: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Edges (n, count) of adaptive pooling's bins between start and end: neighbors may share a pixel."""
    steps = np.arange(count)
    length = (end - start)[:, None]
    low = start[:, None] + steps * length // count
    high = start[:, None] - (-(steps + 1) * length // count)
    return low, high


def _level_candidates(probability: np.ndarray, offsets: np.ndarray, scale: float, threshold: float) -> np.ndarray:
    """(n, 9) rows x1, y1, x2, y2, probability, four offsets for every cell of one pyramid level over the threshold."""
    rows, columns = np.nonzero(probability >= threshold)
    cells = np.stack([columns, rows], 1).astype(np.float32) * PNET_STRIDE
    low = np.floor((cells + 1) / np.float32(scale))
    high = np.floor((cells + PNET_CELL) / np.float32(scale))
    scores = probability[rows, columns][:, None]
    return np.concatenate([low, high, scores, offsets[:, rows, columns].T], 1)


def _merge_levels(levels: list[np.ndarray]) -> np.ndarray:
    """One frame's candidates of all levels -> (n, 4) square, calibrated proposals."""
    rows = np.concatenate([*levels, np.empty((0, 9), np.float32)])
    rows = rows[nms(rows[:, :4], rows[:, 4], NMS_IMAGE)]
    sizes = np.tile(rows[:, 2:4] - rows[:, :2], 2)
    return _squared(rows[:, :4] + rows[:, 5:] * sizes)


def _calibrated(boxes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    return boxes + offsets * np.tile(boxes[:, 2:] - boxes[:, :2] + 1, 2)


def _squared(boxes: np.ndarray) -> np.ndarray:
    """Boxes grown to squares of their longer side, about their centres."""
    sizes = boxes[:, 2:] - boxes[:, :2]
    longer = sizes.max(1, keepdims=True)
    corner = boxes[:, :2] + sizes * 0.5 - longer * 0.5
    return np.concatenate([corner, corner + longer], 1)


def _cut_out(
    integrals: list[np.ndarray], boxes: np.ndarray, owners: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The (n, size, size, 3) patches of boxes, clipped to their frames; boxes outside of them are dropped."""
    height, width = integrals[0].shape[0] - 1, integrals[0].shape[1] - 1
    # MTCNN's boxes count pixels from 1.
    window = np.trunc(boxes).astype(np.int64)
    window[:, :2] = np.maximum(window[:, :2], 1) - 1
    window[:, 2:] = np.minimum(window[:, 2:], [width, height])
    inside = (window[:, 2:] > window[:, :2]).all(1)
    window, boxes, owners = window[inside], boxes[inside], owners[inside]
    patches = np.empty((len(boxes), size, size, 3), np.float32)
    for i, integral in enumerate(integrals):
        patches[owners == i] = _area_pool(integral, window[owners == i], (size, size))
    return patches, boxes, owners


def _nms_by_frame(
    boxes: np.ndarray, scores: np.ndarray, owners: np.ndarray, threshold: float, smaller_area: bool = False
) -> np.ndarray:
    """Indices kept by `nms` within each frame."""
    picks = [np.empty(0, np.int64)]
    for owner in np.unique(owners):
        members = np.flatnonzero(owners == owner)
        picks.append(members[nms(boxes[members], scores[members], threshold, smaller_area)])
    return np.concatenate(picks)

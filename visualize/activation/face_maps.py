"""The faces of videos, pictures and folders of crops, with the activation maps of one network."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from deepfake.faces.align import alignment, transform_points, whole_landmarks
from deepfake.faces.boxes import crop_window
from deepfake.faces.recipes import AlignRecipe, FaceRecipe
from deepfake.media.image_files import read_still
from deepfake.media.images import ImageError, fit_square, fitted_part
from deepfake.media.video import LIMITS, EveryFrames, Frame, ReadLimits, chunked, iter_chosen, probe
from deepfake.prediction.face_collector import FaceCollector, FaceSource, FaceView, FoundFace, VideoFaces
from deepfake.prediction.scoring_model import ScoringModel
from visualize.activation.maps import ActivationMapper

DEFAULT_RATE, MAX_RATE = 25.0, 1000.0
"""Frames a second where a header has none, and the most that is believed."""


@dataclass(frozen=True)
class MappedFace:
    """A face as the network is given it, with its map.

    Attributes:
        name: of its picture file, without suffix: `{frame}_{face}`, or the crop's own.
        picture: (h, w, 3) uint8 RGB.
        activation: (h, w) float32 in 0..1.
        score: probability of fake.
        place: where it was found; None for a crop from a folder.
        face: its number in the frame, largest first.
        seconds: the frame's time in the video; None without one.
    """

    name: str
    picture: np.ndarray
    activation: np.ndarray
    score: float
    place: FoundFace | None = None
    face: int = 0
    seconds: float | None = None


class FaceMapper:
    """Finds faces as a network's recipe says and maps what the network sees in them.

    Args:
        model: with the frames and the number of faces that pictures are wanted of.
        method: see `ActivationMapper`.
        device: where faces are detected.
        weights_dir: the folder of the detector's weights, if it needs any.
        step: `frames` takes every `step`-th frame.
        limits: of reading a video or picture.

    Raises:
        ValueError: see `ActivationMapper`.
    """

    def __init__(
        self,
        model: ScoringModel,
        method: str | None = None,
        device: str = "cpu",
        weights_dir: Path = Path("weights"),
        step: int = 1,
        limits: ReadLimits = LIMITS,
    ) -> None:
        self.mapper = ActivationMapper(model.network, model.spec, method)
        self.recipe = model.source.recipe
        self._view = model.view
        self._moving = FaceView(FaceSource(self.recipe, EveryFrames(step)), self._view.size)
        self._device, self._weights_dir = device, weights_dir
        self._limits = limits

    @cached_property
    def collector(self) -> FaceCollector:
        """Finds the faces; a folder of crops needs none. Raises ValueError if the detector's weights are missing."""
        return FaceCollector([self._view, self._moving], self._device, self._weights_dir)

    def video(self, path: Path) -> list[MappedFace]:
        """The faces of frames spread over a video; none if none is found.

        Raises:
            VideoError: unreadable, or not one frame in it.
            ScoringError: see `ActivationMapper`.
        """
        faces = self.collector.collect(iter_chosen(path, [self._view.source.frames], limits=self._limits))
        return self._mapped(faces, self._view, dict(zip(faces.frames, faces.times)))

    def picture(self, image: np.ndarray) -> list[MappedFace]:
        """The faces of one picture, (H, W, 3) uint8 RGB. Raises ScoringError."""
        frame = Frame(0, image, frozenset([self._view.source.frames]))
        return self._mapped(self.collector.collect([frame]), self._view, {})

    def frames(self, path: Path) -> Iterator[tuple[np.ndarray, list[MappedFace]]]:
        """Every `step`-th frame of a video, (H, W, 3) uint8 RGB, with its faces. Raises as `video` does."""
        for chunk in chunked(iter_chosen(path, [self._moving.source.frames], limits=self._limits)):
            collection = self.collector.begin()
            collection.add(chunk)
            mapped = self._mapped(collection.finish(), self._moving, {})
            for frame in chunk:
                yield frame.image, [face for face in mapped if face.place and face.place.frame == frame.index]

    def crops(self, paths: Sequence[Path]) -> tuple[list[MappedFace], dict[Path, str]]:
        """Pictures that are crops of faces, taken as they are; and why some cannot be read. Raises ScoringError."""
        pictures: dict[Path, np.ndarray] = {}
        failures: dict[Path, str] = {}
        for path in paths:
            try:
                pictures[path] = read_still(path, self._limits.pixels)
            except ImageError as error:
                failures[path] = str(error)
        sizes = [(picture.shape[0], picture.shape[1]) for picture in pictures.values()]
        size = self._view.size
        squares = [fit_square(picture, size) for picture in pictures.values()]
        images = np.stack(squares) if squares else np.empty((0, size, size, 3), np.uint8)
        names = [path.stem for path in pictures]
        faces = [
            MappedFace(path.stem if names.count(path.stem) == 1 else path.name, picture, activation, score)
            for path, (picture, activation, score) in zip(pictures, self._maps(images, sizes))
        ]
        return faces, failures

    def _mapped(self, faces: VideoFaces, view: FaceView, times: Mapping[int, float]) -> list[MappedFace]:
        found = faces.found[view.source]
        mapped: list[MappedFace] = []
        for place, (picture, activation, score) in zip(
            found, self._maps(faces.images[view], [place.crop_size for place in found])
        ):
            number = sum(other.place is not None and other.place.frame == place.frame for other in mapped)
            name = f"{place.frame}_{number}"
            mapped.append(MappedFace(name, picture, activation, score, place, number, times.get(place.frame)))
        return mapped

    def _maps(
        self, images: np.ndarray, sizes: Iterable[tuple[int, int]]
    ) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
        """Each square's picture and map without the padding, and its score."""
        for image, activation, score, size in zip(images, *self.mapper.scored(images), sizes):
            yield fitted_part(image, *size), fitted_part(activation, *size), float(score)


def frame_rate(path: Path, limits: ReadLimits = LIMITS) -> float:
    """Frames a second as a video's header says; DEFAULT_RATE if it makes no sense. Raises VideoError."""
    rate = probe(path, limits).fps
    return rate if math.isfinite(rate) and 0 < rate <= MAX_RATE else DEFAULT_RATE


def outline(place: FoundFace, recipe: FaceRecipe, height: int, width: int) -> np.ndarray:
    """The corners of a face's picture in its frame of this size, (4, 2) in pixels, clockwise from the top left one."""
    if isinstance(recipe, AlignRecipe):
        inverse = cv2.invertAffineTransform(alignment(whole_landmarks(place.face), recipe.size))
        return transform_points(np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * recipe.size, inverse)
    left, top, right, bottom = crop_window(place.face.box, height, width, recipe.margin)
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)


def in_frame(face: MappedFace, recipe: FaceRecipe, height: int, width: int) -> tuple[np.ndarray, int, int]:
    """A face's map moved back to where the face is in its frame of this size.

    Returns the (h, w) float32 map of a part of the frame, 0 where the face's picture does not reach, and the part's
    left and top; the part is empty if the picture lies outside of the frame.
    """
    assert face.place is not None
    corners = outline(face.place, recipe, height, width)
    left, top = np.clip(np.floor(corners.min(0)), 0, (width, height)).astype(int)
    right, bottom = np.clip(np.ceil(corners.max(0)), 0, (width, height)).astype(int)
    size = (int(right - left), int(bottom - top))
    if min(size) < 1:
        return np.empty((0, 0), np.float32), int(left), int(top)
    if isinstance(recipe, AlignRecipe):
        matrix = alignment(whole_landmarks(face.place.face), recipe.size)
        matrix[:, 2] += matrix[:, :2] @ (left, top)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(face.activation, matrix, size, flags=flags), int(left), int(top)
    return cv2.resize(face.activation, size, interpolation=cv2.INTER_LINEAR), int(left), int(top)

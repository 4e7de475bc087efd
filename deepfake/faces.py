"""The faces of one video as networks are given them: detected, cropped, fitted to the input's size.

Memory is bounded: frames pass through a few at a time, and of a video at most MAX_FACES faces keep their pictures.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from deepfake.boxes import Face, crop_face
from deepfake.detectors.base import FaceDetector
from deepfake.detectors.build import build_detector
from deepfake.face_recipes import CropRecipe
from deepfake.images import fit_square
from deepfake.spec import ModelSpec
from deepfake.video import Frame, chunked

MAX_FACES = 127
"""First place scores at most 127 faces a video: in the order of frames, the largest face of a frame first."""


@dataclass(frozen=True)
class FaceView:
    """How a network wants to see faces: cropped by a recipe, on a square of `input_size` pixels a side."""

    crop: CropRecipe
    input_size: int

    @staticmethod
    def of(spec: ModelSpec) -> FaceView:
        return FaceView(spec.crop, spec.input_size)


@dataclass(frozen=True)
class FoundFace:
    """A face in a video: frame index, the face in full-frame pixels, its crop's (height, width)."""

    frame: int
    face: Face
    crop_size: tuple[int, int]


@dataclass
class VideoFaces:
    """The faces of one video.

    Attributes:
        frames: indices of the frames that were looked at.
        size: the frames' (height, width).
        found: all faces by crop recipe, in the order of frames, largest first within one.
        images: by view, the first faces' pictures, (n, input_size, input_size, 3) uint8 RGB, n <= MAX_FACES.
        seconds: time spent on decoding and detecting.
    """

    frames: list[int] = field(default_factory=list)
    size: tuple[int, int] | None = None
    found: dict[CropRecipe, list[FoundFace]] = field(default_factory=dict)
    images: dict[FaceView, np.ndarray] = field(default_factory=dict)
    seconds: float = 0.0


def crop_faces(image: np.ndarray, faces: Iterable[Face], margin: int) -> Iterator[tuple[Face, np.ndarray]]:
    """Faces with their crops, views of `image` (H, W, 3); faces outside of the frame are left out."""
    for face in faces:
        crop = crop_face(image, face.box, margin)
        if crop.size:
            yield face, crop


class FaceCollector:
    """Finds the faces of videos for several views at once; what views share is done once."""

    def __init__(self, views: Sequence[FaceView], device: str = "cpu", max_faces: int = MAX_FACES) -> None:
        """
        Raises:
            ValueError: see `build_detector`.
        """
        self.views = list(dict.fromkeys(views))
        self.max_faces = max_faces
        recipes = {(view.crop.settings.detector, view.crop.settings): view.crop for view in self.views}
        self._detectors = {key: build_detector(recipe.settings, device) for key, recipe in recipes.items()}

    def collect(self, frames: Iterable[Frame]) -> VideoFaces:
        """The faces of one video's frames. Errors of reading pass through."""
        start = time.monotonic()
        collection = self.begin()
        for chunk in chunked(frames):
            collection.add(chunk)
        faces = collection.finish()
        faces.seconds = time.monotonic() - start
        return faces

    def begin(self) -> FaceCollection:
        """A video whose frames come little by little."""
        return FaceCollection(self.views, self._detectors, self.max_faces)


class FaceCollection:
    """The growing faces of one video."""

    def __init__(
        self, views: Sequence[FaceView], detectors: dict[tuple, FaceDetector], max_faces: int = MAX_FACES
    ) -> None:
        self._detectors = detectors
        self._max_faces = max_faces
        self._sizes: dict[CropRecipe, list[int]] = {}
        for view in views:
            self._sizes.setdefault(view.crop, []).append(view.input_size)
        self._images: dict[FaceView, list[np.ndarray]] = {view: [] for view in views}
        self._faces = VideoFaces(found={recipe: [] for recipe in self._sizes})

    def add(self, frames: Sequence[Frame]) -> None:
        """The next frames of the video."""
        start = time.monotonic()
        detected = {key: detector.detect([f.image for f in frames]) for key, detector in self._detectors.items()}
        for i, frame in enumerate(frames):
            self._faces.frames.append(frame.index)
            self._faces.size = frame.image.shape[0], frame.image.shape[1]
            for recipe in self._sizes:
                self._crop(recipe, frame, detected[recipe.settings.detector, recipe.settings][i])
        self._faces.seconds += time.monotonic() - start

    def finish(self) -> VideoFaces:
        for view, images in self._images.items():
            empty = np.empty((0, view.input_size, view.input_size, 3), np.uint8)
            self._faces.images[view] = np.stack(images) if images else empty
        return self._faces

    def _crop(self, recipe: CropRecipe, frame: Frame, faces: Sequence[Face]) -> None:
        found = self._faces.found[recipe]
        for face, crop in crop_faces(frame.image, faces, recipe.margin):
            if len(found) < self._max_faces:
                for size in self._sizes[recipe]:
                    self._images[FaceView(recipe, size)].append(fit_square(crop, size))
            found.append(FoundFace(frame.index, face, (crop.shape[0], crop.shape[1])))

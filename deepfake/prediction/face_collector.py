"""The faces of one video as networks are given them: detected, then cropped or aligned.

Several networks share what can be shared: a frame is decoded once, and looked at once by each detector. Memory is
bounded: frames pass through a few at a time, and only so many faces as are scored keep their pictures.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from deepfake.faces.align import align_largest
from deepfake.faces.boxes import Face, crop_face
from deepfake.faces.detectors.base import WEIGHTS, DetectorSettings, FaceDetector
from deepfake.faces.recipes import AlignRecipe, CropRecipe, FaceRecipe
from deepfake.media.images import fit_square
from deepfake.media.video import (
    LIMITS,
    Frame,
    FrameChoice,
    ReadLimits,
    SpreadFrames,
    Video,
    chosen_frames,
    chunked,
)
from deepfake.scoring.aggregation import FRAMES_PER_VIDEO
from deepfake.synthesis.perturbations.perturbation import Perturbation
from deepfake.synthesis.perturbations.perturbed_video import open_perturbed

MAX_FACES = 127
"""First place scores at most 127 faces a video: in the order of frames, the largest face of a frame first."""

FRAMES = SpreadFrames(FRAMES_PER_VIDEO)
"""The frames that first place looks at."""


Detected = dict[DetectorSettings, dict[int, list[Face]]]
"""Each detector's faces by frame index."""


@dataclass(frozen=True)
class FaceSource:
    """Which faces of a video a network is given.

    Attributes:
        recipe: how they are cut out of a frame.
        frames: which frames are looked at.
        max_faces: the first that many are scored.
    """

    recipe: FaceRecipe = field(default_factory=CropRecipe)
    frames: FrameChoice = FRAMES
    max_faces: int = MAX_FACES


@dataclass(frozen=True)
class FaceView:
    """The pictures of a source's faces, squares of `size` pixels a side."""

    source: FaceSource
    size: int

    @staticmethod
    def of(source: FaceSource, input_size: int) -> FaceView:
        """What a network of that input size is given. Aligned faces come in their own size: one picture serves all."""
        return FaceView(source, source.recipe.size if isinstance(source.recipe, AlignRecipe) else input_size)


@dataclass(frozen=True)
class FoundFace:
    """A face in a video: frame index, the face in full-frame pixels, its picture's (height, width)."""

    frame: int
    face: Face
    crop_size: tuple[int, int]


@dataclass
class VideoFaces:
    """The faces of one video.

    Attributes:
        frames: indices of the frames that were looked at.
        times: when each of them is shown, in seconds from the file's start.
        doubts: what is missing in the file or in doubt, as far as it was read.
        size: the frames' (height, width).
        found: faces by source, in the order of frames, largest first within one.
        images: by view, the first faces' pictures, (n, size, size, 3) uint8 RGB, n <= max_faces.
        seconds: time spent on decoding and detecting.
    """

    frames: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    size: tuple[int, int] | None = None
    found: dict[FaceSource, list[FoundFace]] = field(default_factory=dict)
    images: dict[FaceView, np.ndarray] = field(default_factory=dict)
    seconds: float = 0.0


def crop_faces(image: np.ndarray, faces: Iterable[Face], margin: int) -> Iterator[tuple[Face, np.ndarray]]:
    """Yield faces with their crops, views of `image` (H, W, 3); faces outside of the frame are left out."""
    for face in faces:
        crop = crop_face(image, face.box, margin)
        if crop.size:
            yield face, crop


class FaceCollector:
    """Finds the faces of videos for several views at once; what views share is done once."""

    def __init__(
        self,
        views: Sequence[FaceView],
        device: str = "cpu",
        weights_dir: Path = WEIGHTS,
        limits: ReadLimits = LIMITS,
    ) -> None:
        """
        Args:
            weights_dir: the folder of the detectors' weights, if they need any.
            limits: what reading one video may take.

        Raises:
            ValueError: see `DetectorSettings.build`.
        """
        self.views = list(dict.fromkeys(views))
        self.limits = limits
        self._perturbation: Perturbation | None = None
        settings = dict.fromkeys(view.source.recipe.settings for view in self.views)
        self._detectors = {s: s.build(device, weights_dir) for s in settings}

    @property
    def choices(self) -> list[FrameChoice]:
        """The frames that `collect` is to be given, for `video.iter_chosen`."""
        return list(dict.fromkeys(view.source.frames for view in self.views))

    def find(self, path: Path) -> VideoFaces:
        """Return the faces of a video, with what is in doubt about its file. Raises VideoError."""
        with self.open(path) as video:
            faces = self.collect(chosen_frames(video, self.choices))
            faces.doubts = video.doubts
        return faces

    def open(self, path: Path) -> AbstractContextManager[Video]:
        """Return a context that opens a video, perturbed if this collector is. Raises VideoError."""
        return open_perturbed(path, self._perturbation, self.limits)

    def perturbed(self, perturbation: Perturbation) -> FaceCollector:
        """Return a collector that sees videos as a perturbation leaves them; both share their detectors."""
        other = copy.copy(self)
        other._perturbation = perturbation
        return other

    def collect(self, frames: Iterable[Frame]) -> VideoFaces:
        """The faces of one video's frames. Errors of reading pass through."""
        start = time.monotonic()
        collection = self.begin()
        for chunk in chunked(frames):
            collection.add(chunk)
            if collection.is_full:
                break
        faces = collection.finish()
        faces.seconds = time.monotonic() - start
        return faces

    def begin(self) -> FaceCollection:
        """A video whose frames come little by little."""
        return FaceCollection(self.views, self._detectors)


class FaceCollection:
    """The growing faces of one video."""

    def __init__(self, views: Sequence[FaceView], detectors: Mapping[DetectorSettings, FaceDetector]) -> None:
        self._detectors = detectors
        self._sizes: dict[FaceSource, list[int]] = {}
        for view in views:
            self._sizes.setdefault(view.source, []).append(view.size)
        self._images: dict[FaceView, list[np.ndarray]] = {view: [] for view in views}
        self._faces = VideoFaces(found={source: [] for source in self._sizes})

    @property
    def is_full(self) -> bool:
        """Further frames would change nothing."""
        return not self._open_sources()

    def add(self, frames: Sequence[Frame]) -> None:
        """The next frames of the video, as `video.iter_chosen` gives them."""
        start = time.monotonic()
        self.take(frames, self.detect(frames))
        self._faces.seconds += time.monotonic() - start

    def detect(self, frames: Sequence[Frame]) -> Detected:
        """The first half of `add`; sources of equal settings share a detection."""
        by_settings: dict[DetectorSettings, dict[int, Frame]] = {}
        for source, own in self._wanted(frames).items():
            by_settings.setdefault(source.recipe.settings, {}).update((frame.index, frame) for frame in own)
        return {
            settings: dict(zip(own, self._detectors[settings].detect([frame.image for frame in own.values()])))
            for settings, own in by_settings.items()
        }

    def take(self, frames: Sequence[Frame], detected: Detected) -> None:
        """The second half of `add`: keeps the faces, and pictures of those that are scored."""
        wanted = self._wanted(frames)
        for source, own in wanted.items():
            for frame in own:
                self._take(source, frame, detected[source.recipe.settings][frame.index])
        looked_at = {frame.index: frame for own in wanted.values() for frame in own}
        for index in sorted(looked_at):
            self._faces.frames.append(index)
            self._faces.times.append(looked_at[index].seconds)
            self._faces.size = looked_at[index].image.shape[0], looked_at[index].image.shape[1]

    def finish(self) -> VideoFaces:
        for view, images in self._images.items():
            empty = np.empty((0, view.size, view.size, 3), np.uint8)
            self._faces.images[view] = np.stack(images) if images else empty
        return self._faces

    def _wanted(self, frames: Sequence[Frame]) -> dict[FaceSource, list[Frame]]:
        return {source: [f for f in frames if source.frames in f.chosen_by] for source in self._open_sources()}

    def _open_sources(self) -> list[FaceSource]:
        """The sources that still look: for crops all faces are recorded, not only those that are scored."""
        return [
            source
            for source, found in self._faces.found.items()
            if isinstance(source.recipe, CropRecipe) or len(found) < source.max_faces
        ]

    def _take(self, source: FaceSource, frame: Frame, faces: Sequence[Face]) -> None:
        found = self._faces.found[source]
        for face, picture in _pictures(source.recipe, frame.image, faces):
            if len(found) < source.max_faces:
                for size in self._sizes[source]:
                    self._images[FaceView(source, size)].append(fit_square(picture, size))
            elif isinstance(source.recipe, AlignRecipe):
                return
            found.append(FoundFace(frame.index, face, (picture.shape[0], picture.shape[1])))


def _pictures(recipe: FaceRecipe, image: np.ndarray, faces: Sequence[Face]) -> Iterator[tuple[Face, np.ndarray]]:
    """A frame's faces as the recipe cuts them out."""
    if isinstance(recipe, CropRecipe):
        yield from crop_faces(image, faces, recipe.margin)
    elif (aligned := align_largest(image, faces, recipe.size)) is not None:
        yield aligned

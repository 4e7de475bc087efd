"""Real faces, as a network is given them: to check an exported file on, and to calibrate its 8-bit numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from deepfake.backends.facts import ExportError
from deepfake.checkpoints.spec import ModelSpec
from deepfake.faces.detectors.base import DetectorSettings
from deepfake.faces.recipes import AlignRecipe
from deepfake.media.images import ImageError
from deepfake.media.video import Frame, SpreadFrames, VideoError, iter_chosen
from deepfake.prediction.face_collector import FaceCollector, FaceSource, FaceView
from deepfake.synthesis.portraits import PERSONS, read_portrait

FRAMES = SpreadFrames(8)
"""Of each video: many videos tell more than many frames of one."""

MAX_CROPS = 300
"""As many as NNCF looks at by default."""


def real_crops(
    spec: ModelSpec, files: Sequence[Path], weights_dir: Path, detector: DetectorSettings | None = None
) -> np.ndarray:
    """The faces of videos and pictures, cut out as the spec says: (n, s, s, 3) uint8 RGB, at most MAX_CROPS.

    Args:
        files: none for the two portraits.
        weights_dir: the folder of the detectors' weights, if they need any.
        detector: instead of the recipe's, for networks that see aligned faces.

    Raises:
        ExportError: no face in any of them.
        ValueError: a detector's weights are missing or not its own.
    """
    recipe = replace(spec.crop, settings=detector) if detector and isinstance(spec.crop, AlignRecipe) else spec.crop
    view = FaceView.of(FaceSource(recipe, FRAMES), spec.input_size)
    collector = FaceCollector([view], "cpu", weights_dir)
    found: list[np.ndarray] = []
    unreadable = []
    videos = (iter_chosen(file, collector.choices) for file in files) if files else (_portraits(),)
    for frames in videos:
        try:
            found += list(collector.collect(frames).images[view])
        except (VideoError, ImageError) as error:
            unreadable.append(str(error))
        if len(found) >= MAX_CROPS:
            break
    if not found:
        searched = "; ".join(unreadable) or ", ".join(map(str, files)) or "the two portraits"
        raise ExportError(f"no face was found to check on: {searched}; name videos or pictures of faces with --crops")
    return np.stack(found[:MAX_CROPS])


def _portraits() -> Iterator[Frame]:
    for index, person in enumerate(PERSONS):
        yield Frame(index, read_portrait(person), frozenset({FRAMES}))

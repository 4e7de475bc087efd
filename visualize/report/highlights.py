"""Where the networks of an ensemble looked in single faces: pictures for the report."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from deepfake.checkpoints.checkpoint import load_model
from deepfake.faces.align import align_face, whole_landmarks
from deepfake.faces.boxes import Face, crop_face
from deepfake.faces.recipes import AlignRecipe, FaceRecipe
from deepfake.media.images import fit_square
from deepfake.parallel.pool import run_in_subprocess
from deepfake.prediction.scoring_model import ScoringModel
from visualize.activation.maps import ActivationMapper, overlay
from visualize.report.report import FacePicture, Highlight


class Highlights:
    """Activation maps over faces, by the weightiest of the networks that scored each."""

    def __init__(self, models: Sequence[ScoringModel]) -> None:
        self._models = {model.name: model for model in models}
        self._mappers: dict[str, ActivationMapper | None] = {}
        self.in_workers = all(model.exported is not None or _on_cpu(model.network) for model in models)

    def prepare(self) -> None:
        """Load the weightiest network's mapper, so that worker processes share it; most faces need no other."""
        self.in_workers &= _workers_have_gradients()
        if self._models:
            self._mapper(max(self._models.values(), key=lambda model: model.weight))

    def __call__(self, faces: Sequence[FacePicture]) -> list[Highlight]:
        """Each face as its network sees it, and the same with the activation map over it."""
        found = []
        for shown in faces:
            model = max((self._models[name] for name in shown.face.scores), key=lambda model: model.weight)
            mapper = self._mapper(model)
            if mapper is None:
                return []
            image = _as_seen(shown, model.source.recipe, model.view.size)
            (activation,) = mapper(image[None])
            found.append(Highlight(image, overlay(image, activation), model.name))
        return found

    def _mapper(self, model: ScoringModel) -> ActivationMapper | None:
        """None, with one warning, for an exported file without its checkpoint: maps take gradients."""
        if model.name not in self._mappers:
            self._mappers[model.name] = None
            if model.exported is None:
                self._mappers[model.name] = ActivationMapper(model.network, model.spec)
            elif model.exported.checkpoint.is_file():
                self._mappers[model.name] = ActivationMapper(*load_model(model.exported.checkpoint))
            else:
                print(f"no activation maps: {model.exported.checkpoint} is not there", file=sys.stderr)
        return self._mappers[model.name]


def _workers_have_gradients() -> bool:
    """Return whether forked processes can compute gradients: not if this one has, as torch's threads stay behind."""
    try:
        return run_in_subprocess(_differentiate, None)
    except RuntimeError:
        return False


def _differentiate(_: None) -> bool:
    torch.ones(1, requires_grad=True).sum().backward()
    return True


def _on_cpu(network: nn.Module) -> bool:
    return all(parameter.device.type == "cpu" for parameter in network.parameters())


def _as_seen(shown: FacePicture, recipe: FaceRecipe, size: int) -> np.ndarray:
    """The picture that a network was given of a face, (size, size, 3)."""
    if isinstance(recipe, AlignRecipe):
        face = Face(shown.face.box, landmarks=shown.face.landmarks)
        return align_face(shown.frame, whole_landmarks(face), size)
    return fit_square(crop_face(shown.frame, shown.face.box, recipe.margin), size)

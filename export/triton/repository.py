"""Model repositories for Triton: a folder for each network, and an ensemble that returns the weighted score.

Every model's folder appears whole or not at all, in the place of an older one of the same checkpoint; other models of
the repository stay. It has one version, 1: a config tells of one checkpoint, so two cannot share it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepfake.backends.facts import ExportError, ExportFacts, missing_library
from deepfake.backends.network import INPUT, OUTPUT
from deepfake.backends.triton_models import ENSEMBLE, KIND, NETWORK, WEIGHTING, model_name, parameters_of
from deepfake.checkpoints.spec import OUTPUT_LOGIT, ModelSpec
from deepfake.faces.recipes import recipe_to_dict
from deepfake.models.weight_files import file_hash
from deepfake.storage import atomic
from export.checking import Agreement, export_checked
from export.format_registry import FORMATS, Format
from export.formats.onnx import OPSET
from export.graph import ExportJob
from export.triton import config as configs
from export.triton import model as triton_model
from export.triton.config import PYTHON, SCORE, TENSORRT

WEIGHTING_SUFFIX = "-weighting"
"""Of the model within an ensemble that makes one score of the networks' logits."""

_IR_VERSION = 10
"""Of the weighting's ONNX file: what servers of 2024 read."""


@dataclass(frozen=True)
class Served:
    """A network in a repository: its model's config, its facts, its share of the ensemble's score."""

    config: Any
    facts: ExportFacts
    weight: float


@dataclass(frozen=True)
class Repository:
    """Where models are written, and how Triton is to run them.

    Attributes:
        folder: the model repository.
        backend: one of `triton_config.BACKENDS`.
        place: a key of `triton_config.PLACES`.
        instances: copies of each network on each device.
    """

    folder: Path
    backend: str
    place: str = "auto"
    instances: int = 1

    @property
    def made(self) -> Format:
        """The format of the networks' files."""
        return FORMATS["tensorrt" if self.backend == TENSORRT else "onnx"]

    def write_network(self, job: ExportJob, tolerance: float, device: str) -> tuple[Any, Agreement]:
        """Writes the model of one checkpoint, if its file computes what the network does.

        Args:
            tolerance, device: see `export_checked`.

        Returns:
            Its config, and how well it agrees with torch.

        Raises:
            ExportError: see `export_checked`; or its place is taken by a model of another kind.
        """
        name = model_name(job.facts.checkpoint)
        with self._model(name, NETWORK) as folder:
            path = folder / configs.VERSION / configs.MODEL_FILES[self.backend]
            agreement = export_checked(job, path, self.made, tolerance, device, self.folder / name)
            kind = self._kind
            config = configs.network_config(name, job.facts, file_hash(path), self.backend, kind, self.instances)
            self._finish(folder, config)
        return config, agreement

    def write_ensemble(self, name: str, served: Sequence[Served]) -> Any:
        """Writes the model that gives the weighted mean of the networks' probabilities of fake, face by face.

        Networks that see the same pictures share the input `pictures`; otherwise each has its own, `pictures_MODEL`.

        Returns:
            Its config.

        Raises:
            ExportError: the name cannot be a model's or is a network's, or its place is taken by a model of another
                kind.
        """
        taken = {one.config.name for one in served}
        if not name or name != model_name(name) or {name, name + WEIGHTING_SUFFIX} & taken:
            raise ExportError(f"an ensemble cannot be called {name!r}: letters, digits, _ . and -; no network's name")
        weighting = self._write_weighting(name + WEIGHTING_SUFFIX, served)
        shared = len({_view(one.facts) for one in served}) == 1
        steps = []
        for one in served:
            pictures = INPUT if shared else f"{INPUT}_{one.config.name}"
            steps.append((one.config, {INPUT: pictures}, {OUTPUT: _logits(one)}))
        steps.append((weighting, {_logits(one): _logits(one) for one in served}, {SCORE: SCORE}))
        weights = {one.facts.checkpoint: weight for one, weight in zip(served, _normalized(served))}
        with self._model(name, ENSEMBLE) as folder:
            (folder / configs.VERSION).mkdir()  # empty, but Triton asks for it
            config = configs.ensemble_config(name, steps, {configs.WEIGHTS: json.dumps(weights)})
            (folder / configs.CONFIG).write_text(configs.to_text(config), encoding="utf-8")
        return config

    def _write_weighting(self, name: str, served: Sequence[Served]) -> Any:
        backend = PYTHON if self.backend == PYTHON else configs.ONNXRUNTIME
        with self._model(name, WEIGHTING) as folder:
            path = folder / configs.VERSION / configs.MODEL_FILES[backend]
            path.parent.mkdir()
            graph = weighting_graph([(_logits(one), one.facts.spec) for one in served], _normalized(served))
            path.write_bytes(graph.SerializeToString())
            widths = {_logits(one): configs.output_width(one.facts.spec) for one in served}
            config = configs.weighting_config(name, widths, backend, file_hash(path))
            self._finish(folder, config)
        return config

    @property
    def _kind(self) -> str:
        # What runs model.py is a minimal server: nothing there chooses a GPU for it.
        return configs.PLACES["cpu" if (self.backend, self.place) == (PYTHON, "auto") else self.place]

    @contextlib.contextmanager
    def _model(self, name: str, kind: str) -> Iterator[Path]:
        """Yields an empty folder that gets the model's name if nothing is raised."""
        path = self.folder / name
        if path.exists() and parameters_of(configs.read_config(path / configs.CONFIG)).get(KIND) != kind:
            raise ExportError(f"{path}: is there already, and is no {kind} of this command; choose another --out")
        # A server takes every folder in the repository for a model, and does not start with a half-written one.
        staging = self._staging()
        try:
            with atomic.atomic_folder(path, staging) as folder:
                yield folder
        finally:
            with contextlib.suppress(OSError):
                staging.rmdir()

    def _staging(self) -> Path:
        """Where models are written: beside the repository, or in it if that is another disk."""
        folder = self.folder.resolve()
        mounted = folder.is_dir() and folder.stat().st_dev != folder.parent.stat().st_dev
        return (folder if mounted else folder.parent) / (atomic.PARTIAL_PREFIX + folder.name)

    def _finish(self, folder: Path, config: Any) -> None:
        if config.backend == PYTHON:
            program = Path(triton_model.__file__).read_text(encoding="utf-8")
            (folder / configs.VERSION / configs.PROGRAM).write_text(program, encoding="utf-8")
        (folder / configs.CONFIG).write_text(configs.to_text(config), encoding="utf-8")


def needs_folding(specs: Sequence[ModelSpec]) -> bool:
    """Whether networks would see the same pictures but for their normalization: they can share an ensemble's input if
    that is folded in."""
    return len({_pictures(spec) for spec in specs}) == 1 and len({spec.normalization for spec in specs}) > 1


def weighting_graph(inputs: Sequence[tuple[str, ModelSpec]], weights: Sequence[float]) -> Any:
    """The ONNX model (`onnx.ModelProto`): logits of several networks -> the weighted mean of their probabilities.

    Args:
        inputs: name and network of each input, (n, 1) or (n, 2) float32.
        weights: of the networks, summing up to 1.

    Raises:
        ExportError: onnx is not installed.
    """
    try:
        from onnx import TensorProto, checker, helper
    except ImportError as error:
        raise missing_library(error) from error
    nodes, shares, constants = [], [], []
    for index, ((name, spec), weight) in enumerate(zip(inputs, weights)):
        probability = f"probability_{index}"
        if spec.output == OUTPUT_LOGIT:
            nodes.append(helper.make_node("Sigmoid", [name], [probability]))
        else:
            nodes.append(helper.make_node("Softmax", [name], [f"both_{index}"], axis=-1))
            nodes.append(helper.make_node("Gather", [f"both_{index}", "fake"], [probability], axis=1))
        constants.append(helper.make_tensor(f"weight_{index}", TensorProto.FLOAT, [], [weight]))
        nodes.append(helper.make_node("Mul", [probability, f"weight_{index}"], [f"share_{index}"]))
        shares.append(f"share_{index}")
    if any(spec.output != OUTPUT_LOGIT for _, spec in inputs):
        constants.append(helper.make_tensor("fake", TensorProto.INT64, [1], [1]))
    nodes.append(helper.make_node("Sum", shares, [SCORE]))
    graph = helper.make_graph(
        nodes,
        WEIGHTING,
        [_tensor(name, configs.output_width(spec)) for name, spec in inputs],
        [_tensor(SCORE, 1)],
        constants,
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=_IR_VERSION)
    checker.check_model(model)
    return model


def _tensor(name: str, width: int) -> Any:
    from onnx import TensorProto, helper

    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width])


def _normalized(served: Sequence[Served]) -> list[float]:
    total = sum(one.weight for one in served)
    return [one.weight / total for one in served]


def _logits(one: Served) -> str:
    return f"{OUTPUT}_{one.config.name}"


def _pictures(spec: ModelSpec) -> tuple[int, str]:
    """What decides about a network's pictures before they are normalized, comparable."""
    return spec.input_size, json.dumps(recipe_to_dict(spec.crop), sort_keys=True)


def _view(facts: ExportFacts) -> tuple[Any, ...]:
    """The same for networks that take the same numbers."""
    return (*_pictures(facts.spec), facts.normalization)

"""Whoever adds a network, detector, loss, training task, layout, perturbation, protocol or backend adds one file and
changes none."""

import importlib
import json
import sys
from dataclasses import replace

import pytest
import torch

import evaluate
from deepfake.backends.registry import FILE_FORMATS
from deepfake.checkpoints.checkpoint import load_model, read_checkpoint, save_checkpoint
from deepfake.datasets.layout_registry import LAYOUTS
from deepfake.datasets.reading import read_dataset
from deepfake.datasets.records import DatasetError
from deepfake.evaluation.evaluating import read_evaluation
from deepfake.evaluation.protocols import PROTOCOLS
from deepfake.faces.detectors import ALIGNING, DETECTORS
from deepfake.faces.recipes import AlignRecipe, CropRecipe
from deepfake.models.registry import ARCHITECTURES
from deepfake.prediction.ensemble import Member
from deepfake.prediction.loading import build_predictor, load_models, load_predictor
from deepfake.scoring.results import OK, ScoredFace, VideoResult
from deepfake.scoring.tables import write_details
from deepfake.storage.registry import UnknownName
from deepfake.synthesis.perturbations.kinds import PERTURBATIONS
from deepfake.synthesis.perturbations.perturbation import parse_perturbations
from deepfake.synthesis.perturbations.perturbed_video import open_perturbed
from tests.data.clips import draw, gradient
from tests.data.dataset_trees import touch
from tests.data.predicting import tiny_checkpoint
from tests.data.training_sets import TINY, make_data_root
from training.config import ConfigError, read_config
from training.losses.registry import LOSSES
from training.options import RunOptions
from training.tasks.registry import TASKS

REGISTRIES = (ARCHITECTURES, DETECTORS, ALIGNING, LOSSES, TASKS, LAYOUTS, PERTURBATIONS, PROTOCOLS, FILE_FORMATS)

NETWORK = """
import torch
from torch import nn

from deepfake.models.registry import register


class Colors(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Conv2d(3, 8, 9, stride=8)
        self.fc = nn.Linear(8, 1)

    def forward(self, x):
        return self.fc(self.encoder(x).relu().mean((2, 3)))


@register("Colors", "classifier")
def build(encoder, pretrained=False):
    return Colors()
"""

DETECTOR = """
from dataclasses import dataclass

from deepfake.faces.boxes import Face
from deepfake.faces.detectors.base import ALIGNING, WEIGHTS, DetectorSettings, detector

POINTS = ((0.35, 0.4), (0.65, 0.4), (0.5, 0.55), (0.4, 0.7), (0.6, 0.7))


@detector("middle")
@dataclass(frozen=True)
class MiddleSettings(DetectorSettings):
    share: float = 0.5
    scale: float | None = None

    def build(self, device="cpu", weights_dir=WEIGHTS):
        return Middle(self)


class Middle:
    def __init__(self, settings):
        self.settings = settings

    def detect(self, frames):
        return [[self.face(*frame.shape[:2])] for frame in frames]

    def face(self, height, width):
        x, y, w, h = width / 4, height / 4, width * self.settings.share, height * self.settings.share
        return Face((x, y, x + w, y + h), 0.9, tuple((x + a * w, y + b * h) for a, b in POINTS))


ALIGNING.register("middle-quarter")(MiddleSettings(share=0.25))
"""

LOSS = """
from training.losses.registry import LOSSES

calls = []


@LOSSES.register("Squares")
def squares(logits, labels):
    calls.append(len(labels))
    return (logits.float().sigmoid() - labels.float()).square()
"""

TASK = """
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from deepfake.checkpoints.spec import ModelSpec
from deepfake.datasets.data_root import DataRoot
from deepfake.datasets.folds import read_folds
from deepfake.models.registry import register
from training.config import TrainConfig, read_config
from training.datasets.crop_reading import FolderCrops
from training.engine.checkpointing import RunFiles
from training.engine.fitting import train
from training.engine.trainer import TOTAL
from training.tasks.classifier import ClassifierTask
from training.tasks.registry import TASKS


@dataclass(frozen=True, kw_only=True)
class RegressionConfig(TrainConfig):
    task: ClassVar[str] = "regression"


class RegressionTask(ClassifierTask):
    def loss(self, network, batch, whole=None):
        share = len(batch) / len(whole or batch)
        return {TOTAL: share * (self.predict(network, batch) - batch.labels).square().mean()}


class Regressor(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Conv2d(3, 4, 9, stride=8)

    def forward(self, x):
        return self.encoder(x).mean((1, 2, 3))[:, None]


@register("Regressor", "regression")
def build(encoder="", pretrained=False):
    return Regressor()


@TASKS.register("regression")
def run(options):
    config, root = options.applied(read_config(options.config, RegressionConfig)), DataRoot(options.data_dir)
    table, crops = read_folds(root.folds_csv), FolderCrops(root)

    def make_task(network, ranks):
        return RegressionTask(network, config, table, options.fold, crops, ranks, options.seed)

    files = RunFiles.of(options.output_dir, options.prefix, config.network)
    train(options, config, files, ModelSpec(config.network, config.model_options, config.size), make_task)
"""

LAYOUT = """
from deepfake.datasets.collecting import Collector
from deepfake.datasets.layout_registry import layout


def recognize(root):
    return "good and bad" if {"good", "bad"} <= set(root.folders) else None


@layout("goodness", "good/ and bad/", recognize)
def read(root):
    found = Collector()
    for label, name in enumerate(("good", "bad")):
        for video in root.folders[name].videos:
            found.add(f"{name}_{video[:-4]}", root.folders[name].path / video, label)
    return found.dataset()
"""

PERTURBATION = """
from deepfake.synthesis.perturbations.kinds import framewise


@framewise("upside-down", {"1": None})
def upside_down(_, video):
    \"\"\"The frame upside down.\"\"\"
    return lambda image, _: image[::-1].copy()
"""

PROTOCOL = """
from deepfake.evaluation.protocols import DROP, LARGEST, PROTOCOLS, Protocol

PROTOCOLS.register("two")(Protocol(2, first=True, aggregation=LARGEST, no_face=DROP, meaning="the first two frames"))
"""

BACKEND = """
from deepfake.backends.facts import ExportFacts
from deepfake.backends.registry import file_format
from deepfake.models.weight_files import file_hash
from deepfake.checkpoints.checkpoint import load_model


@file_format("pointer", ".pointer", ("float32",))
def open_file(path, device):
    checkpoint = path.with_name(path.read_text())
    network, spec = load_model(checkpoint, device)
    return network, ExportFacts(spec, checkpoint.name, file_hash(checkpoint), False, "float32")
"""


@pytest.fixture
def add(tmp_path, monkeypatch):
    """`add(code)`: writes code as a new module, imports and returns it; afterwards its entries are gone again."""
    before, modules = {id(registry): set(registry) for registry in REGISTRIES}, []
    monkeypatch.syspath_prepend(tmp_path)

    def write(code: str):
        modules.append(f"added_{len(modules)}")
        (tmp_path / f"{modules[-1]}.py").write_text(code)
        importlib.invalidate_caches()
        return importlib.import_module(modules[-1])

    yield write
    for name in modules:
        del sys.modules[name]
    for registry in REGISTRIES:
        for name in set(registry._entries) - before[id(registry)]:
            del registry._entries[name]


@pytest.fixture
def clip(tmp_path):
    """A video without a face."""
    draw(tmp_path / "clip.mp4", gradient(4))
    return tmp_path / "clip.mp4"


@pytest.fixture
def options(tmp_path):
    """`options(**changes)`: of a training run on a tiny data set, with TINY's config and those changes."""

    def make(**changes) -> RunOptions:
        config = tmp_path / "tiny.json"
        config.write_text(json.dumps({**{k: v for k, v in TINY.items() if k != "dropout"}, **changes}))
        data = make_data_root(tmp_path / "data")
        return RunOptions(config, data, output_dir=tmp_path, logdir=tmp_path / "logs", device="cpu", epochs=1)

    return make


def test_a_network_is_trained_and_scores(add, options, clip, tmp_path):
    chosen = options(network="Colors")
    with pytest.raises(ConfigError, match=r"tiny\.json: network: expected one of DeepFakeClassifier, .*'Colors'"):
        read_config(chosen.config)
    add(NETWORK)
    TASKS["classifier"](chosen)
    last = tmp_path / "classifier_Colors_test_efficientnet_0_last"
    network, spec = load_model(last)
    assert type(network).__name__ == spec.architecture == "Colors"
    cropped = replace(spec, crop=CropRecipe(add(DETECTOR).MiddleSettings()))
    save_checkpoint(tmp_path / "with_faces", network, cropped)
    result = load_predictor(tmp_path / "with_faces", device="cpu", precision="float32").predict(clip)
    assert len(result.faces) == 4 and 0 < result.score < 1
    assert result.model_scores == {"with_faces": result.score}


def test_a_detector_finds_the_faces_of_a_prediction(add, clip, tmp_path):
    settings = add(DETECTOR).MiddleSettings(share=0.25)
    assert DETECTORS["middle"] is type(settings) and ALIGNING["middle-quarter"] == settings
    for recipe in (CropRecipe(settings), AlignRecipe(settings, size=64)):
        checkpoint = tiny_checkpoint(tmp_path / recipe.kind, crop=recipe)
        assert read_checkpoint(checkpoint).spec.crop == recipe, "the file names the detector and its settings"
        result = load_predictor(checkpoint, device="cpu", precision="float32").predict(clip)
        assert {face.box for face in result.faces} == {(80.0, 60.0, 160.0, 120.0)}
        assert result.model_scores[recipe.kind] == result.score


def test_a_loss_is_weighed_by_a_config(add, options):
    chosen = options(losses={"BinaryCrossentropy": 1, "Squares": 0.5})
    with pytest.raises(ConfigError, match=r"losses\.Squares: expected only BinaryCrossentropy"):
        read_config(chosen.config)
    calls = add(LOSS).calls
    TASKS["classifier"](chosen)
    assert calls == [4, 4, 4]


def test_a_training_task_trains_its_own_networks(add, options, tmp_path):
    chosen = options(network="Regressor")
    add(TASK)
    with pytest.raises(ConfigError, match="'Regressor' is trained by training/pipelines/train_regression"):
        TASKS["classifier"](chosen)
    TASKS["regression"](replace(chosen, prefix=""))
    checkpoint = read_checkpoint(tmp_path / "Regressor_last")
    assert checkpoint.extra["epoch"] == 1 and checkpoint.spec.training["config"]["network"] == "Regressor"


def test_a_layout_is_recognized(add, tmp_path):
    for name in ("good/a.mp4", "bad/a.mp4"):
        touch(tmp_path / "set" / name, 0)
    with pytest.raises(DatasetError, match="nor anything else"):
        read_dataset(tmp_path / "set")
    add(LAYOUT)
    data = read_dataset(tmp_path / "set")
    assert data.layout == "goodness" and {v.video_id: v.label for v in data.videos.values()} == {
        "good_a": 0,
        "bad_a": 1,
    }
    with pytest.raises(DatasetError, match=r"goodness: good/ and bad/"):
        read_dataset(tmp_path)


def test_a_perturbation_changes_what_is_read(add, clip):
    with pytest.raises(UnknownName, match="'upside-down' unknown"):
        parse_perturbations("upside-down")
    add(PERTURBATION)
    (perturbation,) = parse_perturbations("upside-down")
    with open_perturbed(clip, None) as plain, open_perturbed(clip, perturbation) as perturbed:
        frame, changed = (next(iter(video.exactly([1]))).image for video in (plain, perturbed))
    assert (changed == frame[::-1]).all() and (changed != frame).any()


def test_a_protocol_measures_an_evaluation(add, run_main, tmp_path):
    rows, results = ["path,label"], {}
    for label, scores in enumerate(((0.1, 0.3, 0.9), (0.8, 0.6, 0.2))):
        name = f"{label}.mp4"
        touch(tmp_path / name, label)
        rows.append(f"{name},{label}")
        found = [ScoredFace(i, (0, 0, 9, 9), 0.9, (9, 9), 0, {"m": score}, 0) for i, score in enumerate(scores)]
        results[name] = VideoResult(OK, 0.5, "", {"m": 0.5}, [0, 1, 2], faces=found)
    (tmp_path / "set.csv").write_text("\n".join(rows))
    write_details(tmp_path / "details.json", results, {"models": [{"name": "m"}], "crop_recipes": [], "settings": {}})
    words = [tmp_path / "set.csv", "--predictions", tmp_path / "details.json", "--protocol", "two"]
    words += ["--bootstrap", "1", "--out", tmp_path / "out"]
    code, _, err = run_main(evaluate.main, *words)
    assert code == 2 and "invalid choice: 'two'" in err
    add(PROTOCOL)
    assert run_main(evaluate.main, *words)[0] == 0
    found = read_evaluation(tmp_path / "out" / "evaluation.json")
    assert [video.score for video in found.videos] == pytest.approx([0.2, 0.7])
    assert found.protocol["protocol"] == "two" and found.protocol["frames"] == "the first 2 recorded"


def test_a_backend_runs_its_files(add, tmp_path):
    add(BACKEND)
    checkpoint = tiny_checkpoint(tmp_path / "model")
    (tmp_path / "model.pointer").write_text(checkpoint.name)
    (torch_model,), (model,) = (load_models([Member(checkpoint)], backend=name) for name in ("torch", "pointer"))
    assert model.exported.backend == "pointer"
    faces = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(model.network(faces), torch_model.network(faces))
    assert build_predictor([model]).models[0].exported.file == tmp_path / "model.pointer"

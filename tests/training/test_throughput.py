"""What makes training faster or smaller computes the same."""

import dataclasses
import json

import numpy as np
import psutil
import pytest
import torch
import torch.distributed as dist
from torch import nn

from deepfake.checkpoints.checkpoint import read_checkpoint
from deepfake.datasets.aligned_faces import read_face_list
from deepfake.datasets.data_root import DataRoot
from deepfake.datasets.folds import read_folds
from tests.data.training_sets import TINY, second_place_config
from training.config import ConfigError, OptimizerConfig, ScheduleConfig, XceptionConfig, parse_config, read_config
from training.datasets.batch import Batch
from training.datasets.crop_reading import FolderCrops
from training.datasets.loading import EpochLoader, on_device
from training.engine.distributed import Ranks
from training.engine.optim import build_optimizer, load_optimizer
from training.engine.trainer import StepSettings, Trainer
from training.options import RunOptions
from training.tasks.classifier import ClassifierTask, run_classifier
from training.tasks.wsdan import FeatureCentres, WSDANTask
from training.tasks.xception import XceptionTask

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = Ranks(torch.device("cpu"))


class Plain(nn.Module):
    """A network without batch norm: what it makes of a sample depends on no other."""

    def __init__(self, outputs: int = 1) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 8, 5, 4), nn.ReLU(), nn.Conv2d(8, 8, 3, 2), nn.Tanh())
        self.fc = nn.Linear(8, outputs)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.encoder(images).mean((2, 3)))


def plain(outputs: int = 1) -> Plain:
    torch.manual_seed(0)
    return Plain(outputs)


def first_place(root, ranks=CPU, workers=0, **changes) -> ClassifierTask:
    config = parse_config({**TINY, **changes}, "test")
    table = read_folds(root / "folds.csv")
    return ClassifierTask(plain(), config, table, 0, FolderCrops(DataRoot(root)), ranks, 777, workers=workers)


def trained(task, ranks=CPU, settings: StepSettings | None = None) -> dict:
    """Losses and weights after an epoch."""
    trainer = Trainer(task, task._config.optimizer, ranks, 777, settings)
    losses = trainer.train_epoch().losses
    return {**losses, **{k: v.clone() for k, v in task.network.state_dict().items()}}


def assert_close(first: dict, second: dict) -> None:
    assert first.keys() == second.keys()
    for key in first:
        torch.testing.assert_close(first[key], second[key], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("parts", [2, 3, 4])
def test_parts_of_a_batch_equal_the_whole(shared_data_root, parts):
    """Of four samples some parts have no fakes, or no reals."""
    whole, divided = (trained(first_place(shared_data_root), settings=StepSettings(accumulate=n)) for n in (1, parts))
    assert_close(divided, whole)
    start = plain().state_dict()
    assert any((whole[key] - start[key]).abs().max() > 1e-3 for key in start), "there was something to learn"


def test_parts_equal_the_whole_with_cross_entropy(project_root, shared_faces_root, tmp_path):
    config = read_config(second_place_config(project_root, "xception", tmp_path / "x.json"), XceptionConfig)
    faces = read_face_list(shared_faces_root / "faces.csv")
    ends = [
        trained(XceptionTask(plain(2), config, faces, shared_faces_root, CPU, 777), settings=StepSettings(accumulate=n))
        for n in (1, 3)
    ]
    assert_close(*ends)


def test_centers_move_once_for_all_parts():
    task = WSDANTask.__new__(WSDANTask)
    task.centres, task._matrices = FeatureCentres(6, 0.05, CPU), []
    labels = torch.tensor([0.0, 1, 1, 1, 0])
    matrix = torch.nn.functional.normalize(torch.randn(5, 6), dim=1)
    images = torch.zeros(5, 3, 2, 2, dtype=torch.uint8)
    whole = Batch(images, labels, labels > 0, torch.arange(5), list("abcde"))
    task._move_centres(matrix[:2], whole)
    assert not task.centres.values.any()
    task._move_centres(matrix[2:], whole)
    expected = FeatureCentres(6, 0.05, CPU)
    expected.update(matrix, labels.long())
    assert torch.equal(task.centres.values, expected.values) and task.centres.values.any()
    assert task._matrices == []


def test_parts_hold_every_sample_once():
    names = list("abcdefg")
    batch = Batch(torch.arange(7)[:, None, None, None].expand(7, 3, 2, 2), torch.arange(7.0), torch.ones(7) > 0,
                  torch.arange(7), names, ["broken"])  # fmt: skip
    parts = batch.parts(3)
    assert [len(part) for part in parts] == [2, 2, 3]
    assert [name for part in parts for name in part.names] == names
    for name in ("images", "labels", "valid", "index"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(batch, name))
    assert len(batch.parts(9)) == 7 and batch.parts(1) == [batch]


@pytest.fixture
def one_of_one():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield Ranks(torch.device("cpu"), 0, 1, distributed=True)
    dist.destroy_process_group()


def test_ranks_exchange_gradients_once_a_step(shared_data_root, one_of_one):
    task = first_place(shared_data_root, one_of_one)
    trainer = Trainer(task, task._config.optimizer, one_of_one, 777, StepSettings(accumulate=4))
    trainer._enter_mode(frozen=False)
    exchanged = []

    def count(state, bucket):
        exchanged.append(bucket.index())
        future = torch.futures.Future()
        future.set_result(bucket.buffer())
        return future

    trainer._wrapped.register_comm_hook(None, count)
    trainer.train_epoch()
    assert len(exchanged) == task.steps == 3, "a small network has one bucket"
    end = {k: v.clone() for k, v in task.network.state_dict().items()}
    alone = trained(first_place(shared_data_root))
    assert_close(end, {k: alone[k] for k in end})


def test_the_command_line_takes_parts(shared_data_root, tmp_path, tiny_config):
    options = RunOptions(tiny_config, shared_data_root, output_dir=tmp_path, logdir=tmp_path, device="cpu", epochs=1)
    with pytest.raises(ConfigError, match="--accumulate 5: accumulate: expected 1 to 4"):
        run_classifier(dataclasses.replace(options, accumulate=5))
    run_classifier(dataclasses.replace(options, accumulate=2))
    (last,) = tmp_path.glob("*_last")
    assert read_checkpoint(last).spec.training["config"]["optimizer"]["accumulate"] == 2
    tiny_config.write_text(json.dumps({**TINY, "ohem_samples": 1}))
    with pytest.raises(ConfigError, match="ohem_samples"):
        run_classifier(dataclasses.replace(options, accumulate=2))


def test_a_compiled_network_trains_to_the_same_weights_under_the_same_names(
    shared_data_root, tmp_path, tiny_config, monkeypatch
):
    """The compiler's front, without the code generator: that takes minutes."""
    compiled = []

    def compile_quickly(network):
        compiled.append(network)
        return torch._dynamo.optimize("eager")(network)

    monkeypatch.setattr(torch, "compile", compile_quickly)
    ends = []
    for name, compile_it in (("plain", False), ("compiled", True)):
        out = tmp_path / name
        run_classifier(RunOptions(tiny_config, shared_data_root, output_dir=out, logdir=out, device="cpu", epochs=1,
                       compile=compile_it))  # fmt: skip
        (last,) = out.glob("*_last")
        ends.append(read_checkpoint(last).state_dict)
    assert len(compiled) == 1
    assert ends[0].keys() == ends[1].keys()
    for key in ends[0]:
        torch.testing.assert_close(ends[0][key], ends[1][key])


def test_compiling_without_a_compiler_is_reported_before_training(shared_data_root, tmp_path, tiny_config, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    out = tmp_path / "out"
    options = RunOptions(tiny_config, shared_data_root, output_dir=out, logdir=out, device="cpu", epochs=1)
    with pytest.raises(ValueError, match="none is installed"):
        run_classifier(dataclasses.replace(options, compile=True))


@pytest.mark.parametrize(("kind", "momentum"), [("SGD", 0.9), ("AdamW", 0.0)])
def test_a_fused_optimizer_computes_the_same(kind, momentum):
    config = OptimizerConfig(2, kind, 0.05, ScheduleConfig("constant", "epoch", 1), momentum, 1e-4, momentum > 0)
    ends, optimizers = [], []
    for fused in (None, True):
        network = plain()
        optimizer = build_optimizer(config, network.parameters(), fused)
        for n in range(4):
            torch.manual_seed(n)
            optimizer.zero_grad()
            network(torch.randn(2, 3, 32, 32)).square().sum().backward()
            optimizer.step()
        ends.append(network.state_dict())
        optimizers.append(optimizer)
    for key in ends[0]:
        torch.testing.assert_close(ends[0][key], ends[1][key])
    load_optimizer(optimizers[1], optimizers[0].state_dict())
    assert optimizers[1].param_groups[0]["fused"] is True, "a run that goes on elsewhere computes as it does there"
    with pytest.raises(ValueError, match="groups"):
        load_optimizer(optimizers[0], {"state": {}, "param_groups": []})


class Numbers:
    """Samples that tell which process read them."""

    def __init__(self, *numbers: int) -> None:
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, i: int):
        from training.datasets.batch import Sample

        return Sample(np.zeros((1, 1, 3), np.uint8), 0.0, True, self._numbers[i], str(psutil.Process().pid))


def test_worker_processes_stay_from_epoch_to_epoch():
    loader = EpochLoader(2, 2, pin_memory=False)
    epochs = [range(7), range(10, 13), range(20, 30)]
    seen, processes = [], []
    for numbers in epochs:
        batches = list(on_device(loader.batches(Numbers(*numbers)), torch.device("cpu")))
        seen.append([int(n) for batch in batches for n in batch.index])
        processes.append({name for batch in batches for name in batch.names})
    assert seen == [list(numbers) for numbers in epochs]
    assert len(processes[0]) == 2 and processes[0] == processes[1] == processes[2]
    half = iter(loader.batches(Numbers(*range(100))))
    next(half)
    assert [int(n) for batch in loader.batches(Numbers(1, 2, 3)) for n in batch.index] == [1, 2, 3]
    del half

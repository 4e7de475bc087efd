"""The two ways of training that bench/train.py measures, the loader alone, and FLOPs."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_
from torch.utils.flop_counter import FlopCounterMode

from bench.measuring import TRAINING_STEPS
from deepfake.datasets.data_root import DataRoot
from deepfake.datasets.folds import FoldRow, read_folds
from deepfake.models import build_model
from training.config import TrainConfig, read_config
from training.datasets.batch import Batch
from training.datasets.crop_reading import FolderCrops
from training.datasets.crops import SampleOptions, TrainingCrops
from training.datasets.loading import EpochLoader
from training.engine import distributed
from training.engine.distributed import Ranks
from training.engine.optim import build_optimizer
from training.engine.trainer import PRECISIONS, TOTAL, StepSettings, Trainer, TrainingTask
from training.losses.binary_crossentropy import binary_crossentropy
from training.losses.per_class import class_means
from training.transforms.normalize import InputNormalizer

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = {"cuda": ("b5", "b7"), "cpu": ("tiny",)}

PEAK_TFLOPS = {
    "H200": 989.0,
    "H100 PCIe": 756.0,
    "H100": 989.0,
    "A100": 312.0,
    "L40S": 362.0,
    "L4": 121.0,
    "A30": 165.0,
    "A10": 125.0,
}
"""Part of the device's name -> dense bfloat16 peak by NVIDIA's data sheets; the first that fits counts."""

CROP_SIDE = 300
CROPS = 64


@dataclass(frozen=True)
class Measurement:
    """Images a second of the fastest turn, and the device's peak memory in bytes (0: not known)."""

    images_per_second: float
    peak_memory: int


def measure_all(args: argparse.Namespace) -> None:
    """Measures each config and prints what came out: the command's options are in `args`."""
    ranks = distributed.start(False, args.device)
    kind = ranks.device.type
    torch.backends.cudnn.benchmark = True
    for path in args.configs or [ROOT / "configs" / f"{name}.json" for name in CONFIGS[kind]]:
        config = read_config(path, TrainConfig)
        measure(args, config, args.batch_size or config.optimizer.batch_size, args.size or config.size, ranks)


def measure(args: argparse.Namespace, config: TrainConfig, batch_size: int, size: int, ranks: Ranks) -> None:
    """Measures one task and prints what came out."""
    kind, steps = ranks.device.type, args.steps or TRAINING_STEPS[ranks.device.type]
    batch = random_batch(batch_size, size)
    if kind == "cuda":
        batch = batch.pin_memory()
    compiled = args.compile if args.compile is not None else kind == "cuda"
    precision = args.opt_level or ("bf16" if kind == "cuda" else "O0")
    settings = StepSettings(precision, args.accumulate, compiled)
    plain, own = PlainWay(config, batch, size, ranks, args.accumulate), OwnWay(config, batch, size, ranks, settings)
    flops = flops_per_image(plain.network, plain.loss, batch)
    measured = in_turns({"plain": plain, "settings": own}, batch_size, steps, args.repeat, ranks)
    peak = args.peak_tflops or peak_tflops(ranks)
    device = torch.cuda.get_device_name(ranks.device) if kind == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(
        f"{config.encoder} at {size}, batch {batch_size} in {args.accumulate} part(s), {device}, "
        f"{flops / 1e9:.2f} GFLOPs an image"
    )
    print(f"{'way':10}{'images/s':>10}{'x plain':>9}{'peak MiB':>10}{'TFLOP/s':>9}{'used':>8}")
    for name, result in measured.items():
        rate = result.images_per_second
        memory = f"{result.peak_memory / 2**20:.0f}" if result.peak_memory else "-"
        achieved = rate * flops / 1e12
        used = f"{achieved / peak:.1%}" if peak else "-"
        ratio = rate / measured["plain"].images_per_second
        print(f"{name:10}{rate:10.1f}{ratio:9.2f}{memory:>10}{achieved:9.3f}{used:>8}")
    shown = f"{precision}, channels last, {'compiled' if compiled else 'eager'}"
    print(
        f"plain: {plain.precision}, NCHW, eager; settings: {shown}; peak: {f'{peak:g} TFLOPS' if peak else 'not known'}"
    )
    ceiling = loader_ceiling(args.data_dir, batch_size, size, args.workers, steps)
    print(f"loader alone: {ceiling:.1f} images/s with {args.workers} process(es)")


class BenchTask(TrainingTask):
    """First place's loss on the same batch again and again."""

    def __init__(self, network: nn.Module, config: TrainConfig, batch: Batch, ranks: Ranks) -> None:
        self.network = network
        self.encoder: nn.Module = network.encoder  # type: ignore[assignment]
        self.steps = 0
        self.validation = pd.DataFrame({"video": [], "label": []})
        self._batch = batch
        self._input = InputNormalizer(config.normalize).to(ranks.device)

    def train_batches(self, epoch: int, first: int = 0) -> Iterable[Batch]:
        return [self._batch] * self.steps

    def validation_batches(self) -> Iterable[Batch]:
        return []

    def loss(self, network: nn.Module, batch: Batch, whole: Batch | None = None) -> dict[str, torch.Tensor]:
        logits = network(self._input(batch.images)).flatten()
        return {TOTAL: class_means(binary_crossentropy(logits, batch.labels), batch.labels).total}

    def predict(self, network: nn.Module, batch: Batch) -> torch.Tensor:
        return network(self._input(batch.images)).flatten().sigmoid()


class OwnWay:
    """The engine's loop."""

    def __init__(self, config: TrainConfig, batch: Batch, size: int, ranks: Ranks, settings: StepSettings) -> None:
        self.network = distributed.prepare(new_network(config), ranks, size)
        self._task = BenchTask(self.network, config, batch, ranks)
        self._trainer = Trainer(self._task, config.optimizer, ranks, seed=1, settings=settings)
        self.optimizer = self._trainer.optimizer

    def __call__(self, steps: int) -> None:
        self._task.steps = steps
        self._trainer.train_epoch()
        self._trainer.end_epoch()


class PlainWay:
    """The loop that everybody writes first."""

    def __init__(self, config: TrainConfig, batch: Batch, size: int, ranks: Ranks, parts: int) -> None:
        self.network = distributed.prepare(new_network(config), ranks, size).to(memory_format=torch.contiguous_format)
        self.precision = "O1" if ranks.device.type == "cuda" else "O0"
        self._dtype = PRECISIONS[self.precision]
        self._batch = batch
        self._parts = parts
        self._ranks = ranks
        self._task = BenchTask(self.network, config, batch, ranks)
        self.optimizer = build_optimizer(config.optimizer, self.network.parameters(), fused=False)
        self._scaler = torch.amp.GradScaler(ranks.device.type, enabled=self.precision == "O1")
        self._max_norm = config.optimizer.max_gradient_norm

    def loss(self, batch: Batch) -> torch.Tensor:
        pixels = batch.to(self._ranks.device)
        pixels = Batch(pixels.images.contiguous(), pixels.labels, pixels.valid, pixels.index, pixels.names)
        with torch.autocast(self._ranks.device.type, dtype=self._dtype, enabled=self._dtype is not None):
            return self._task.loss(self.network, pixels)[TOTAL]

    def __call__(self, steps: int) -> None:
        self.network.train()
        for _ in range(steps):
            self.optimizer.zero_grad()
            for part in self._batch.parts(self._parts):
                loss = self.loss(part)
                self._scaler.scale(loss).backward()
            self._scaler.unscale_(self.optimizer)
            if self._max_norm is not None:
                clip_grad_norm_(self.network.parameters(), self._max_norm)
            self._scaler.step(self.optimizer)
            self._scaler.update()
            loss.item()


def new_network(config: TrainConfig) -> nn.Module:
    torch.manual_seed(1)
    return build_model(config.network, pretrained=False, **config.model_options)


def random_batch(batch_size: int, size: int) -> Batch:
    """Noise with labels by turns, its channels last as the loader's are."""
    images = torch.randint(0, 256, (batch_size, size, size, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    labels = torch.arange(batch_size).remainder(2).float()
    return Batch(images, labels, labels >= 0, torch.arange(batch_size), ["noise"] * batch_size)


def in_turns(
    ways: dict[str, PlainWay | OwnWay], batch_size: int, steps: int, repeat: int, ranks: Ranks
) -> dict[str, Measurement]:
    """Runs the ways one after another, `repeat` times after a turn that warms up (and compiles)."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    peaks = dict.fromkeys(ways, 0)
    for turn in range(repeat + 1):
        for name, way in ways.items():
            others = sum(resident_bytes(other) for other in ways.values() if other is not way)
            if ranks.device.type == "cuda":
                torch.cuda.synchronize()
                torch.cuda.reset_peak_memory_stats()
            start = time.perf_counter()
            way(steps if turn else 3)
            if ranks.device.type == "cuda":
                torch.cuda.synchronize()
                if turn:
                    peaks[name] = max(peaks[name], torch.cuda.max_memory_allocated() - others)
            if turn:
                seconds[name].append(time.perf_counter() - start)
            way.optimizer.zero_grad(set_to_none=True)
    return {name: Measurement(batch_size * steps / min(seconds[name]), peaks[name]) for name in ways}


def resident_bytes(way: PlainWay | OwnWay) -> int:
    """What a way keeps on the device between two turns: weights, buffers, the optimizer's state."""
    tensors = [*way.network.parameters(), *way.network.buffers()]
    for state in way.optimizer.state.values():
        tensors += [value for value in state.values() if isinstance(value, torch.Tensor)]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def flops_per_image(network: nn.Module, loss: Callable[[Batch], torch.Tensor], batch: Batch) -> float:
    """FLOPs forward and backward, counted over two images."""
    two = batch.parts(max(1, len(batch) // 2))[0]
    network.train()
    with FlopCounterMode(display=False) as counter:
        loss(two).backward()
    network.zero_grad(set_to_none=True)
    return counter.get_total_flops() / len(two)


def peak_tflops(ranks: Ranks) -> float | None:
    if ranks.device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(ranks.device)
    return next((peak for part, peak in PEAK_TFLOPS.items() if part in name), None)


def loader_ceiling(data_root: Path | None, batch_size: int, size: int, workers: int, batches: int) -> float:
    """Augmented samples a second without any network; the workers have started before the clock does."""
    with tempfile.TemporaryDirectory() as folder:
        layout = DataRoot(data_root or Path(folder))
        crops = FolderCrops(layout)
        table = read_folds(layout.folds_csv) if data_root else make_crops(layout)
        rows = table.sample(n=batch_size * batches, replace=True, random_state=1).reset_index(drop=True)
        loader = EpochLoader(batch_size, workers, pin_memory=False)
        for turn in range(2):
            data = TrainingCrops(rows, np.arange(len(rows)), crops, size, SampleOptions(), seed=1, epoch=turn)
            start = time.perf_counter()
            count = sum(len(batch) for batch in loader.batches(data))
            seconds = time.perf_counter() - start
    return count / seconds


def make_crops(layout: DataRoot) -> pd.DataFrame:
    """Blurred noise as crops of a few videos, half of them fakes."""
    rng = np.random.default_rng(0)
    rows = []
    for n in range(CROPS):
        video, file = f"{'rf'[n % 2]}{n // 8}", f"{n}_0.png"
        (layout.crops / video).mkdir(parents=True, exist_ok=True)
        crop = cv2.resize(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8), (CROP_SIDE, CROP_SIDE))
        cv2.imwrite(str(layout.crops / video / file), crop)
        rows.append(FoldRow(video, file, n % 2, f"r{n // 8}", n, 0))
    return pd.DataFrame(rows)

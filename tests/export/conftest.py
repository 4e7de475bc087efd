"""Real faces and small networks to export."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from deepfake.backends.facts import FLOAT32, ExportFacts
from deepfake.checkpoints.spec import ModelSpec
from deepfake.prediction.face_scorer import FaceInput
from export.formats.onnx import OPSET
from export.graph import ExportJob
from export.sample_faces import real_crops
from tests.data.clips import cut
from tests.data.export_jobs import TINY, spread_network


@pytest.fixture(scope="session")
def clip(mini_dfdc, tmp_path_factory) -> Path:
    """Eight frames of a real clip with a face."""
    out = tmp_path_factory.mktemp("clips") / "clip.mp4"
    cut(mini_dfdc / "dfdc_train_part_1" / "d0.mp4", out, 8)
    return out


@pytest.fixture(scope="session")
def crops(mini_dfdc) -> np.ndarray:
    """(n, SIZE, SIZE, 3) real faces of several persons."""
    files = sorted(mini_dfdc.glob("dfdc_train_part_0/*.mp4"))[:3]
    return np.concatenate([real_crops(TINY, [], Path()), real_crops(TINY, files, Path())])[:12]


@pytest.fixture(scope="session")
def trained_job(crops) -> ExportJob:
    """A network that has learnt to tell sharp faces from blurred ones: random weights do not outlive 8 bits."""
    blurred = np.stack([cv2.GaussianBlur(crop, (0, 0), 2) for crop in crops])
    pictures = np.concatenate([crops, blurred])
    network = spread_network(TINY, crops).train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.3
    face_input = FaceInput(network, TINY.normalization)
    batch = torch.cat(list(face_input.batches(pictures)))
    labels = torch.tensor([0.1] * len(crops) + [0.9] * len(blurred))  # unsure, so that scores do not all end at 0 and 1
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(network(batch).flatten(), labels).backward()
        optimizer.step()
    return ExportJob(network.eval(), ExportFacts(TINY, "tiny", "0" * 64, False, FLOAT32), pictures, OPSET)


@pytest.fixture(scope="session")
def make_job(crops):
    """`make_job(spec, precision, folded)`: what a format is made from, of a network whose scores spread."""

    def make(spec: ModelSpec = TINY, precision: str = FLOAT32, folded: bool = False) -> ExportJob:
        facts = ExportFacts(spec, "tiny", "0" * 64, folded, precision)
        return ExportJob(spread_network(spec, crops), facts, crops, OPSET)

    return make

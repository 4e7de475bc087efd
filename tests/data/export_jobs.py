"""A network whose scores spread, to export."""

import numpy as np
import torch

from deepfake.checkpoints.spec import ModelSpec
from deepfake.prediction.face_scorer import FaceInput

SIZE = 64

TINY = ModelSpec("DeepFakeClassifier", {"encoder": "test_efficientnet"}, SIZE)


def spread_network(spec: ModelSpec, crops: np.ndarray) -> torch.nn.Module:
    """A network with random weights whose probabilities of these faces differ: its batch norms have seen them, and its
    last layer is stretched."""
    torch.manual_seed(0)
    network = spec.build()
    (batch,) = FaceInput(network, spec.normalization, spec.input_size).batches(crops[:8])
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(batch)
        logits = network.eval()(batch)
        network.fc.weight *= 3 / logits.std(0).max()
        if network.fc.bias is not None:
            network.fc.bias.copy_(network.fc.bias - network(batch).mean(0))
    return network.eval()

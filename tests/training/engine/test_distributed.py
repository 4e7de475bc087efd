"""Several processes, one network: what can be told without starting them (test_processes.py starts them)."""

import pytest
import torch
from torch import nn

from deepfake.models import build_model
from training.engine import distributed

OPTIONS = {"DeepFakeClassifier": {"encoder": "test_efficientnet"}, "xception": {}, "wsdan_efficientnet_b3": {}}


@pytest.mark.parametrize("name", OPTIONS)
def test_synchronized_batch_norms_compute_the_same(name):
    """Also the activations that timm puts into its batch norms, and second place's momentum."""
    torch.manual_seed(0)
    network = build_model(name, **OPTIONS[name]).eval()
    images = torch.randn(2, 3, 72, 72)
    keys, momenta = list(network.state_dict()), {m.momentum for m in network.modules() if isinstance(m, nn.BatchNorm2d)}
    with torch.inference_mode():
        before = network(images)
        synchronized = distributed.synchronize_batch_norms(network).eval()
        torch.testing.assert_close(synchronized(images), before)
    kinds = [m for m in synchronized.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert kinds and all(isinstance(m, nn.SyncBatchNorm) for m in kinds)
    assert list(synchronized.state_dict()) == keys and {m.momentum for m in kinds} == momenta


def test_what_the_output_does_not_need_is_frozen():
    network = build_model("wsdan_efficientnet_b3")
    distributed.prepare(network, distributed.start(False, "cpu"), 72)
    frozen = [name for name, p in network.named_parameters() if not p.requires_grad]
    assert frozen == ["features.classifier.weight", "features.classifier.bias"]

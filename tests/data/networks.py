"""Networks whose weights are not those of a new one."""

import math

import torch
from torch import nn


def lively(network, seed=0):
    """Batch norms with statistics and weights that are not those of a new network."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values, low, high in (
                (module.running_mean, -0.3, 0.3),
                (module.running_var, 0.5, 2),
                (module.weight.data, 0.5, 1.5),
                (module.bias.data, -0.5, 0.5),
            ):
                values.copy_(torch.rand(values.shape, generator=generator) * (high - low) + low)
    return network.eval()


PLACES = {
    "the whole first convolution": (nn.Conv2d, 0.0, "weight", slice(None)),
    "one weight of the first convolution": (nn.Conv2d, 0.0, "weight", 0),
    "one weight in the middle": (nn.Conv2d, 0.5, "weight", 0),
    "a batch norm's weight": (nn.BatchNorm2d, 0.5, "weight", 0),
    "a batch norm's bias": (nn.BatchNorm2d, 0.3, "bias", 0),
    "a mean": (nn.BatchNorm2d, 0.7, "running_mean", 0),
    "a variance": (nn.BatchNorm2d, 0.7, "running_var", 0),
    "the classifier": (nn.Linear, 1.0, "weight", 0),
}


def poison(network: nn.Module, place: str, value: float = math.nan) -> nn.Module:
    kind, share, attribute, chosen = PLACES[place]
    modules = [module for module in network.modules() if isinstance(module, kind)]
    with torch.no_grad():
        getattr(modules[round(share * (len(modules) - 1))], attribute).view(-1)[chosen] = value
    return network


SMALL_NETWORKS = {
    "EfficientNet": ("DeepFakeClassifier", {"encoder": "test_efficientnet"}, "logit"),
    "RegNet, SRM": ("DeepFakeClassifierSRM", {"encoder": "regnetx_002"}, "logit"),
    "ResNet": ("DeepFakeClassifier", {"encoder": "resnet10t"}, "logit"),
    "Xception": ("xception", {}, "softmax"),
    "WS-DAN": ("wsdan_xception", {}, "softmax"),
    "WS-DAN on B3": ("wsdan_efficientnet_b3", {}, "softmax"),
}
"""Of each kind one: architecture, options, output."""

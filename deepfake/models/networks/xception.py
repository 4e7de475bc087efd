"""Second place's Xception (Chollet 2017, arXiv 1610.02357): two logits, of real and of fake."""

from __future__ import annotations

import re

from torch import nn

from deepfake.models.encoders import create_encoder
from deepfake.models.registry import register

CLASSES = 2
BACKBONE = "legacy_xception"
"""timm's name of the network that the published weights belong to."""

_HEAD = re.compile(r"^last_linear\.")


def own_key(published: str) -> str:
    """The network's name of a weight in the published checkpoint (`xception-hg-2.pth`)."""
    return _HEAD.sub("fc.", published)


@register("xception", "xception", own_key)
def build(pretrained: bool = False) -> nn.Module:
    """(n, 3, h, w) normalized pictures -> (n, 2) logits."""
    return create_encoder(BACKBONE, pretrained, num_classes=CLASSES)

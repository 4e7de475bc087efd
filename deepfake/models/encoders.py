"""Encoders: timm networks, by today's names or by those of the published recipes."""

from __future__ import annotations

import re
from typing import Any

from torch import nn

from deepfake.models.timm_import import timm

_NOISY_STUDENT = re.compile(r"(tf_efficientnet_(?:b\d|l2))_ns")


def create_encoder(
    name: str, pretrained: bool = False, drop_path_rate: float | None = None, **options: Any
) -> nn.Module:
    """A timm network by today's name or by the published one (`tf_efficientnet_b7_ns`).

    Args:
        pretrained: with its ImageNet weights.
        drop_path_rate: stochastic depth; left out for networks that have none.
        options: handed to timm.

    Raises:
        ValueError: timm knows no such network, or its ImageNet weights cannot be had.
    """
    today = _NOISY_STUDENT.sub(r"\1.ns_jft_in1k", name)
    if not timm.is_model(today.split(".")[0]):
        raise ValueError(f"encoder {name!r}: timm {timm.__version__} knows no such network")
    try:
        if drop_path_rate is None:
            return timm.create_model(today, pretrained=pretrained, **options)
        try:
            return timm.create_model(today, pretrained=pretrained, drop_path_rate=drop_path_rate, **options)
        except TypeError as error:
            if "drop_path_rate" not in str(error):
                raise
            return timm.create_model(today, pretrained=pretrained, **options)
    except (OSError, RuntimeError) as error:
        if not pretrained:
            raise
        raise ValueError(
            f"encoder {name!r}: ImageNet weights of {today} cannot be had ({type(error).__name__}: {error}). "
            "Connect once so that timm can fetch them, or train from random weights with --from-scratch"
        ) from error

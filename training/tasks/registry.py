"""The training tasks by name: one module of this folder each, with the data, the network and the loss of its task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deepfake.storage.registry import Registry

Run = Callable[[Any], None]
"""Trains as the task's own options say (a subclass of `training.options.FitOptions`).

Raises:
    ValueError: a config, data set, checkpoint or option that cannot be used.
    NonFiniteLoss: training diverged.
    Stopped: SIGTERM came; what has been done is saved.
"""

TASKS: Registry[Run] = Registry("training task", "training.tasks")

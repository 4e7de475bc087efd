"""Optimizers, and learning rates as pure functions of a count, so that a resumed schedule needs no state."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from training.config import OptimizerConfig, ScheduleConfig

POLY_POWER = 0.9
MULTISTEP_GAMMA = 0.1

ENDING_SCHEDULES = {"poly": ".max_iter", "linear": "", "step": ".steps"}
"""Schedules whose rate may become 0 for good, and the parameter that says when."""

_COMPUTATION = ("fused", "foreach")

LearningRate = Callable[[int], float]
"""Count of finished steps (or epochs) -> learning rate."""


def build_optimizer(
    config: OptimizerConfig, parameters: Iterable[nn.Parameter], fused: bool | None = None
) -> torch.optim.Optimizer:
    """SGD (with Nesterov momentum), Adam or AdamW over the parameters that can learn.

    Args:
        fused: one kernel for a whole step; None leaves it to torch.
    """
    learnable = [p for p in parameters if p.requires_grad]
    shared: dict[str, Any] = {"lr": config.learning_rate, "weight_decay": config.weight_decay, "fused": fused}
    if config.type == "SGD":
        return torch.optim.SGD(learnable, momentum=config.momentum, nesterov=config.nesterov, **shared)
    if config.type == "Adam":
        return torch.optim.Adam(learnable, **shared)
    if config.type == "AdamW":
        return torch.optim.AdamW(learnable, **shared)
    raise ValueError(f"optimizer {config.type!r} unknown")


def load_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Takes over what an optimizer has learned; how steps are computed (fused or not) stays as it is here.

    Raises:
        ValueError: another optimizer's state, or other parameters.
    """
    own = [{key: group[key] for key in _COMPUTATION if key in group} for group in optimizer.param_groups]
    groups = state["param_groups"]
    if len(groups) != len(own):
        raise ValueError(f"{len(groups)} groups of parameters, not {len(own)}")
    optimizer.load_state_dict({**state, "param_groups": [{**g, **o} for g, o in zip(groups, own)]})


def build_schedule(config: ScheduleConfig, base: float) -> LearningRate:
    """The learning rate by count of steps or epochs, as `config.mode` says; `base` is the optimizer's.

    poly: `base * (1 - n / max_iter) ** power`, 0 from `max_iter` on. step: the rate of the last reached pair of
    `steps`. multistep: times `gamma` at each milestone. exponential: `base * gamma ** n`, with `every`
    `base * gamma ** (n // every)`. linear: `base * (alpha * n +
    beta)`. clr: triangular between `base_lr` and `max_lr`, `step_size` counts a flank (Smith 2017). constant: `base`.
    """
    params = config.params
    if config.type == "poly":
        power = params.get("power", POLY_POWER)
        return lambda n: base * max(0.0, 1 - n / params["max_iter"]) ** power
    if config.type == "step":
        return _stepped(params["steps"], base)
    if config.type == "multistep":
        milestones, gamma = sorted(params["milestones"]), params.get("gamma", MULTISTEP_GAMMA)
        return lambda n: base * gamma ** bisect_right(milestones, n)
    if config.type == "exponential":
        every = params.get("every", 1)
        return lambda n: base * params["gamma"] ** (n // every)
    if config.type == "linear":
        return lambda n: base * (params["alpha"] * n + params["beta"])
    if config.type == "clr":
        return lambda n: _triangle(n, params["base_lr"], params["max_lr"], params["step_size"])
    if config.type == "constant":
        return lambda n: base
    raise ValueError(f"schedule {config.type!r} unknown")


def check_schedule(config: OptimizerConfig, epochs: int, steps: int) -> None:
    """Check that a schedule's learning rate stays above 0 until training ends.

    Args:
        epochs: number of epochs.
        steps: optimizer steps in each of them.

    Raises:
        ValueError: the rate is 0 or less from some count on; names the parameter and its right value.
    """
    schedule = config.schedule
    if schedule.type not in ENDING_SCHEDULES:
        return
    rate = build_schedule(schedule, config.learning_rate)
    total = epochs * steps if schedule.mode == "step" else epochs
    counted = next((n for n in range(total, 0, -1) if rate(n - 1) > 0), 0)
    if counted == total:
        return
    unit = f"{epochs} epochs of {steps} steps" if schedule.mode == "step" else f"{epochs} epochs"
    cure = f"expected {total} or more" if schedule.type == "poly" else f"expected a rate above 0 up to {total}"
    raise ValueError(
        f"optimizer.schedule.params{ENDING_SCHEDULES[schedule.type]}: the learning rate is 0 after {counted} "
        f"{schedule.mode}s; {cure}, for {unit} (or fewer epochs: --epochs)"
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def _stepped(steps: list[list[float]], base: float) -> LearningRate:
    ordered = sorted(steps)
    counts = [count for count, _ in ordered]

    def rate(n: int) -> float:
        reached = bisect_right(counts, n)
        return ordered[reached - 1][1] if reached else base

    return rate


def _triangle(n: int, low: float, high: float, flank: float) -> float:
    position = n / flank % 2
    return low + (high - low) * (1 - abs(position - 1))

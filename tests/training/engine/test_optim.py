import pytest
import torch
from torch import nn

from training.config import OptimizerConfig, ScheduleConfig
from training.engine.optim import build_optimizer, build_schedule, check_schedule, set_learning_rate

CONSTANT = ScheduleConfig("constant", "step", 1)


def rates(kind, counts, base=0.1, **params):
    schedule = build_schedule(ScheduleConfig(kind, "step", 1, params), base)
    return [schedule(n) for n in counts]


def test_poly_is_the_published_formula():
    at = (0, 1, 50000, 100499)
    expected = [0.01 * (1 - n / 100500) ** 0.9 for n in at]
    assert rates("poly", at, base=0.01, max_iter=100500) == pytest.approx(expected)
    assert rates("poly", (100500, 200000), max_iter=100500) == [0, 0]
    assert rates("poly", (5,), max_iter=10, power=2) == pytest.approx([0.025])


@pytest.mark.parametrize(
    ("kind", "params", "expected"),
    [
        ("constant", {}, [0.1, 0.1, 0.1, 0.1]),
        ("exponential", {"gamma": 0.5}, [0.1, 0.05, 0.025, 0.0125]),
        ("exponential", {"gamma": 0.2, "every": 2}, [0.1, 0.1, 0.02, 0.02]),
        ("multistep", {"milestones": [2, 3]}, [0.1, 0.1, 0.01, 0.001]),
        ("step", {"steps": [[1, 0.5], [3, 0.2]]}, [0.1, 0.5, 0.5, 0.2]),
        ("linear", {"alpha": -0.25, "beta": 1}, [0.1, 0.075, 0.05, 0.025]),
        ("clr", {"base_lr": 0.0, "max_lr": 1.0, "step_size": 2}, [0, 0.5, 1, 0.5]),
    ],
)
def test_other_schedules(kind, params, expected):
    assert rates(kind, range(4), **params) == pytest.approx(expected)


@pytest.mark.parametrize(("kind", "momentum"), [("SGD", 0.9), ("Adam", 0.0), ("AdamW", 0.0)])
def test_optimizers_learn_only_what_can_learn(kind, momentum):
    network = nn.Linear(2, 1)
    network.bias.requires_grad_(False)
    config = OptimizerConfig(2, kind, 0.5, CONSTANT, momentum, 1e-4, nesterov=momentum > 0)
    optimizer = build_optimizer(config, network.parameters())
    assert type(optimizer).__name__ == kind
    (group,) = optimizer.param_groups
    assert len(group["params"]) == 1 and group["params"][0] is network.weight
    assert (group["lr"], group["weight_decay"]) == (0.5, 1e-4)
    assert group.get("momentum", 0) == momentum and group.get("nesterov", False) == (momentum > 0)


def test_learning_rate_reaches_every_group():
    optimizer = torch.optim.SGD([{"params": [nn.Parameter(torch.zeros(1))]}, {"params": [nn.Parameter(torch.ones(1))]}])
    set_learning_rate(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]


@pytest.mark.parametrize(
    ("kind", "mode", "params", "message"),
    [
        (
            "poly",
            "step",
            {"max_iter": 11},
            r"params\.max_iter: the learning rate is 0 after 11 steps; expected 12 or more",
        ),
        ("poly", "epoch", {"max_iter": 2}, "0 after 2 epochs; expected 3 or more, for 3 epochs"),
        ("linear", "step", {"alpha": -0.1, "beta": 1}, "0 after 10 steps"),
        ("step", "epoch", {"steps": [[1, 0.5], [2, 0]]}, r"params\.steps: the learning rate is 0 after 2 epochs"),
    ],
)
def test_schedules_that_end_before_the_epochs(kind, mode, params, message):
    config = OptimizerConfig(4, "SGD", 0.1, ScheduleConfig(kind, mode, 3, params))
    with pytest.raises(ValueError, match=message):
        check_schedule(config, epochs=3, steps=4)


@pytest.mark.parametrize(
    ("kind", "mode", "params"),
    [
        ("poly", "step", {"max_iter": 12}),
        ("poly", "epoch", {"max_iter": 3}),
        ("linear", "step", {"alpha": 0.1, "beta": 0}),
        ("clr", "step", {"base_lr": 0, "max_lr": 1, "step_size": 1}),
        ("constant", "step", {}),
    ],
)
def test_schedules_that_last(kind, mode, params):
    check_schedule(OptimizerConfig(4, "SGD", 0.1, ScheduleConfig(kind, mode, 3, params)), epochs=3, steps=4)

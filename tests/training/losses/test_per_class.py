import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from training.losses.per_class import ClassLosses, class_means
from training.losses.registry import LOSSES, weighted_losses

WEIGHTS = {"BinaryCrossentropy": 1.0}
LOGITS = torch.tensor([2.0, -1.0, 0.5, -3.0])


def bce_by_class(logits, labels, ohem_samples=None) -> ClassLosses:
    return class_means(weighted_losses(logits, labels, WEIGHTS), labels, ohem_samples)


def test_classes_are_averaged_separately():
    labels = torch.tensor([0.99, 0.01, 0.01, 0.01])
    losses = bce_by_class(LOGITS, labels)
    assert losses.fake == pytest.approx(bce(LOGITS[:1], labels[:1]).item())
    assert losses.real == pytest.approx(bce(LOGITS[1:], labels[1:]).item())
    assert losses.total == pytest.approx((losses.fake + losses.real).item() / 2)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_an_empty_class_counts_nothing_but_stays_differentiable(label):
    logits = LOGITS.clone().requires_grad_()
    losses = bce_by_class(logits, torch.full((4,), label))
    empty = losses.real if label else losses.fake
    assert empty.item() == 0
    assert losses.total.item() == pytest.approx(bce(LOGITS, torch.full((4,), label)).item() / 2)
    losses.total.backward()
    assert (logits.grad != 0).all()


def test_no_samples_at_all_go_backward():
    logits = LOGITS.clone().requires_grad_()
    total = bce_by_class(logits[:0], torch.zeros(0)).total
    total.backward()
    assert total.item() == 0 and (logits.grad == 0).all()


def test_hard_example_mining_takes_the_largest_losses_of_each_class():
    logits = torch.tensor([4.0, -4.0, -2.0, 4.0, -4.0, 2.0])
    labels = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    losses = bce_by_class(logits, labels, ohem_samples=2)
    assert losses.fake == pytest.approx(bce(logits[1:3], labels[1:3]).item())
    assert losses.real == pytest.approx(bce(logits[[3, 5]], labels[[3, 5]]).item())
    assert bce_by_class(logits, labels, ohem_samples=9).fake == pytest.approx(bce(logits[:3], labels[:3]).item())


def test_half_precision_logits_give_a_float32_loss():
    assert bce_by_class(LOGITS.half(), torch.ones(4)).total.dtype == torch.float32


def test_losses_add_up_by_their_weights(monkeypatch):
    labels = torch.tensor([0.99, 0.01, 0.99, 0.01])
    monkeypatch.setattr(LOSSES, "_entries", dict(LOSSES, Distance=lambda logits, labels: (labels - logits).abs()))
    both = weighted_losses(LOGITS, labels, {"Distance": 2.0, "BinaryCrossentropy": 0.5})
    torch.testing.assert_close(both, 2 * (labels - LOGITS).abs() + bce(LOGITS, labels, reduction="none") / 2)

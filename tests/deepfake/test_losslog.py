"""The training log: what the trainer writes is what plot_loss reads."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepfake.losslog import FAKE_WEIGHT, FIRST_CANDIDATE_EPOCH, EpochLoss, format_losses, parse_losses

LOSS = st.floats(0, 1e6) | st.floats(0, 1e-6) | st.sampled_from([0.0, math.inf])


@given(st.dictionaries(st.integers(0, 10**4), st.tuples(LOSS, LOSS), max_size=6))
def test_lines_are_read_as_they_were_written(losses):
    written = [EpochLoss(epoch, fake, real) for epoch, (fake, real) in losses.items()]
    read = parse_losses(line for entry in written for line in format_losses(entry))
    assert [entry.epoch for entry in read] == sorted(losses)
    for entry in read:
        fake, real = losses[entry.epoch]
        assert entry.fake == pytest.approx(fake, rel=1e-9) and entry.real == pytest.approx(real, rel=1e-9)


def test_a_loss_that_is_no_number_is_read_as_such():
    (entry,) = parse_losses(format_losses(EpochLoss(3, math.nan, 0.5)))
    assert math.isnan(entry.fake) and entry.real == 0.5


def test_the_published_log_counts_epochs_from_0():
    log = """
    Freezing encoder!!!
    epoch-like text: fake_losses 9 9
    training  12%|###   | 300/2500 [01:02<...] loss: 0.123
    fake_loss 0.5
    real_loss 0.25
    Prev score: 100
    fake_loss 4e-1
    real_loss .125
    """
    assert parse_losses(log.splitlines()) == [EpochLoss(0, 0.5, 0.25), EpochLoss(1, 0.4, 0.125)]


def test_a_resumed_run_replaces_its_epochs():
    first = [EpochLoss(0, 1, 1), EpochLoss(1, 2, 2), EpochLoss(2, 3, 3)]
    again = [EpochLoss(1, 0.2, 0.2), EpochLoss(2, 0.3, 0.3), EpochLoss(3, 0.4, 0.4)]
    lines = [line for entry in [*first, *again] for line in format_losses(entry)]
    assert parse_losses(lines) == [first[0], *again]


def test_lines_carry_a_prefix_of_a_logger():
    lines = [f"2026-11-05 10:00:00 INFO {line}" for line in format_losses(EpochLoss(7, 0.5, 0.25))]
    assert parse_losses(lines) == [EpochLoss(7, 0.5, 0.25)]


def test_an_unfinished_validation_is_left_out():
    killed = format_losses(EpochLoss(4, 0.5, 0.25))[:2]
    assert parse_losses(killed) == []
    assert parse_losses([*killed, *format_losses(EpochLoss(4, 0.75, 0.5))]) == [EpochLoss(4, 0.75, 0.5)]
    assert parse_losses(["real_loss 0.5"]) == []
    # Half a pair is not completed by the half of another epoch.
    whole = EpochLoss(3, 0.5, 0.25)
    assert parse_losses([*format_losses(whole), "epoch 4", "real_loss 0.125"]) == [whole]


def test_the_published_weighting():
    assert EpochLoss(0, 0.5, 0.3).weighted() == pytest.approx((1.4 * 0.5 + 0.3) / 2)
    assert EpochLoss(0, 0.5, 0.3).weighted(1) == pytest.approx(0.4)
    assert (FAKE_WEIGHT, FIRST_CANDIDATE_EPOCH) == (1.4, 17)

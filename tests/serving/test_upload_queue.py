"""Order, limits, and places that come back."""

from concurrent.futures import CancelledError
from threading import Event

import pytest

from deepfake.parallel.pool import Cancelled, raise_if_cancelled
from serving.admission import Full
from serving.upload_queue import WorkQueue
from tests.data.service_process import wait_for


@pytest.fixture
def gate():
    return Event()


@pytest.fixture
def queue(gate):
    def work(item, is_cancelled):
        while not gate.wait(0.01):
            raise_if_cancelled(is_cancelled)
        return item * 2

    made = WorkQueue(work, 1)
    yield made
    made.close()


def test_items_are_worked_on_in_order(queue, gate):
    futures = [queue.enter().submit(item) for item in (1, 2)]
    gate.set()
    assert [future.result(10) for future in futures] == [2, 4]


def test_a_full_queue_takes_nobody_until_a_place_is_back(queue, gate):
    first, second = queue.enter(), queue.enter()
    with pytest.raises(Full, match="2 uploads"):
        queue.enter()
    second.leave()  # before it has submitted anything
    future = first.submit(1)
    waiting = queue.enter()
    assert len(queue) == 2
    gate.set()
    assert future.result(10) == 2
    waiting.leave()
    assert len(queue) == 0


def test_who_leaves_while_waiting_is_dropped(queue, gate):
    running, waiting = queue.enter(), queue.enter()
    first, second = running.submit(1), waiting.submit(2)
    waiting.leave()
    assert len(queue) == 1 and second.cancelled()
    gate.set()
    assert first.result(10) == 2


def test_work_that_nobody_wants_ends_and_only_then_its_place_is_back(queue):
    closed = []
    place = queue.enter()
    place.cleanup.callback(lambda: closed.append(len(queue)))
    future = place.submit(1)
    place.leave()
    with pytest.raises((Cancelled, CancelledError)):
        future.result(10)
    wait_for(lambda: closed)  # the future ends before its place
    assert closed == [1]
    wait_for(lambda: len(queue) == 0)


def test_an_error_is_the_item_s_own(gate):
    queue = WorkQueue(lambda item, is_cancelled: 1 / item, 1)
    failed, fine = queue.enter().submit(0), queue.enter().submit(4)
    with pytest.raises(ZeroDivisionError):
        failed.result(10)
    assert fine.result(10) == 0.25
    queue.close()
    assert len(queue) == 0


def test_closing_ends_all(queue):
    futures = [queue.enter().submit(item) for item in (1, 2)]
    queue.close()
    for future in futures:
        with pytest.raises((Cancelled, CancelledError)):
            future.result(0)
    assert len(queue) == 0

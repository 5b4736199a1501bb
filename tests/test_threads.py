"""Threads: results in order, nothing left running, and no answer that depends on their number."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from conftest import TYPES, clusters, fit, given_start
from threadpoolctl import threadpool_limits

from emgmm import GaussianMixture
from emgmm.threads import in_order, one_blas_thread

HANDS = (1, 2, 3)


@pytest.fixture
def hands(monkeypatch):
    """Lets a test say how many threads there are, whatever the machine has."""

    def set_to(number):
        monkeypatch.setattr("emgmm.threads._allowed", lambda _: number)

    return set_to


def mapped(function, items):
    with one_blas_thread():
        return list(in_order(function, items))


@pytest.mark.parametrize("number", HANDS)
def test_results_come_in_the_order_of_the_items(number, hands):
    hands(number)
    where = set()

    def slow_when_early(item):
        where.add(threading.current_thread().name)
        time.sleep(0.002 if item % 3 == 0 else 0)
        return item

    assert mapped(slow_when_early, iter(range(30))) == list(range(30))
    assert (where == {threading.current_thread().name}) == (number == 1)


def test_a_single_item_stays_on_the_callers_thread(hands):
    hands(3)
    name = threading.current_thread().name
    assert mapped(lambda _: threading.current_thread().name, [0]) == [name]


def test_no_more_items_are_taken_than_keep_the_threads_busy(hands):
    hands(2)
    taken = []

    def items():
        for item in range(1000):
            taken.append(item)
            yield item

    with one_blas_thread():
        results = in_order(lambda item: item, items())
        next(results)
        assert len(taken) < 10
        results.close()


def test_a_failure_surfaces_and_nothing_runs_on(hands):
    hands(2)
    running = []

    def function(item):
        running.append(item)
        time.sleep(0.001)
        running.remove(item)
        if item == 5:
            raise KeyError(item)

    with pytest.raises(KeyError):
        mapped(function, range(1000))
    assert not running


@pytest.mark.parametrize("number", HANDS)
def test_items_that_fail_end_it_after_the_results_before(number, hands):
    hands(number)
    seen = []

    def items():
        yield from range(20)
        raise KeyError("no more")

    with one_blas_thread():
        results = in_order(lambda item: item, items())
        with pytest.raises(KeyError):
            seen.extend(results)
    assert seen == list(range(20))
    assert mapped(abs, range(-3, 0)) == [3, 2, 1]  # and the next are served


def test_what_nobody_has_begun_is_left_when_it_is_closed(hands):
    hands(2)
    begun, at_it, go_on = [], threading.Event(), threading.Event()

    def function(item):
        begun.append(item)
        if threading.current_thread() is not threading.main_thread():
            at_it.set()
            go_on.wait(20)
        return item

    with one_blas_thread():
        results = in_order(function, itertools.count())
        next(results)  # the crew's one thread is held up; more are taken than there are hands
        assert at_it.wait(20)
        threading.Timer(0.1, go_on.set).start()
        before = list(begun)
        results.close()
    assert go_on.is_set()  # what was begun has ended
    time.sleep(0.05)
    assert begun == before


def test_an_interrupt_in_the_callers_thread_comes_at_once(hands):
    hands(2)
    interrupted, at_it = [], threading.Event()

    def items():
        yield from range(3)
        assert at_it.wait(20)
        yield from range(3, 1000)

    def function(item):
        if threading.current_thread() is threading.main_thread():
            interrupted.append(item)
            raise KeyboardInterrupt
        at_it.set()
        time.sleep(0.02)

    with pytest.raises(KeyboardInterrupt):
        mapped(function, items())
    assert len(interrupted) == 1


def test_those_who_wait_for_items_hold_up_nobody(hands):
    hands(2)
    go_on = threading.Event()

    def awaited():
        yield from range(2)
        go_on.wait(20)
        yield 2

    waiting = threading.Thread(target=mapped, args=(abs, awaited()))
    waiting.start()
    where = set()

    def function(item):
        where.add(threading.current_thread().name)
        time.sleep(0.002)

    mapped(function, range(30))
    go_on.set()
    waiting.join(20)
    assert len(where) == 2


def test_a_process_ends_though_its_results_were_not_all_taken():
    program = """
import threading, time
from emgmm import threads

threads._allowed = lambda _: 2

def awaited():
    yield from range(9)
    time.sleep(60)

def take_all():
    with threads.one_blas_thread():
        list(threads.in_order(abs, awaited()))

threading.Thread(target=take_all, daemon=True).start()
with threads.one_blas_thread():
    results = threads.in_order(abs, range(1000))
    next(results)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


def test_items_are_taken_by_the_callers_thread_alone(hands):
    hands(3)
    where = set()

    def items():
        for item in range(30):
            where.add(threading.current_thread().name)
            yield item

    assert mapped(lambda item: item, items()) == list(range(30))
    assert where == {threading.current_thread().name}


def test_many_callers_at_once_get_their_own_results(hands):
    hands(3)
    found = {}

    def call(number):
        found[number] = mapped(lambda item: item * number, range(200))

    callers = [threading.Thread(target=call, args=(number,)) for number in range(1, 9)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(20)
    assert found == {number: [item * number for item in range(200)] for number in range(1, 9)}


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("far", [0.0, 1e6])
def test_the_number_of_threads_changes_no_bit(covariance_type, far, hands):
    X = clusters(70_000, 2, 3)
    start = given_start(X, 3, covariance_type)
    X[5] += far  # the exact form serves where a row is out of reach
    model = GaussianMixture(**start, tol=0, max_iter=3)
    seen = []
    for number in HANDS:
        hands(number)
        fit(model, X)
        seen.append(
            [
                model.weights_,
                model.means_,
                model.precisions_cholesky_,
                model.lower_bounds_,
                model.score_samples(X),
                model.predict_proba(X),
            ]
        )
    for others in seen[1:]:
        for one, other in zip(seen[0], others, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("limit", [1, 2])
def test_the_users_limit_is_ours(limit, monkeypatch):
    monkeypatch.setattr("emgmm.threads._cores", lambda: 64)
    with threadpool_limits(limit), one_blas_thread():
        assert one_blas_thread.hands == limit
    assert one_blas_thread.hands == 1


def test_no_more_threads_than_cores_are_ours(monkeypatch):
    monkeypatch.setattr("emgmm.threads._cores", lambda: 1)
    with one_blas_thread():
        assert one_blas_thread.hands == 1

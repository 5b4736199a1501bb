"""Threads: results in order, nothing left running, and no answer that depends on their number."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from conftest import TYPES, clusters, fit, given_start
from threadpoolctl import threadpool_info, threadpool_limits

from emgmm import GaussianMixture
from emgmm.threads import cached_property, in_order, one_blas_thread

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
        assert one_blas_thread.n_threads == limit
    assert one_blas_thread.n_threads == 1


def test_no_more_threads_than_cores_are_ours(monkeypatch):
    monkeypatch.setattr("emgmm.threads._cores", lambda: 1)
    with one_blas_thread():
        assert one_blas_thread.n_threads == 1


def blas():
    """BLAS's numbers of threads, by library."""
    return {
        library["filepath"]: library["num_threads"]
        for library in threadpool_info()
        if library["user_api"] == "blas"
    }


@pytest.mark.parametrize("first_out", ["main", "other"])
def test_whichever_thread_limits_blas_and_whichever_leaves_last(first_out):
    with threadpool_limits(2, user_api="blas"):
        before = blas()
        with one_blas_thread():
            pass
        entered, leave, left = (threading.Event() for _ in range(3))
        seen = []

        def enter():
            with one_blas_thread():
                seen.append(blas())
                entered.set()
                leave.wait(20)
            left.set()

        other = threading.Thread(target=enter)
        other.start()
        assert entered.wait(20)
        with one_blas_thread():
            seen.append(blas())
            if first_out == "other":
                leave.set()
                assert left.wait(20)
                seen.append(blas())
        if first_out == "main":
            seen.append(blas())
        leave.set()
        other.join(20)
        assert blas() == before
    assert [set(numbers.values()) for numbers in seen] == [{1}] * 3


@pytest.mark.parametrize("number", HANDS)
def test_floating_point_errors_are_handled_as_the_caller_asks(number, hands):
    hands(number)
    seen = {}

    def function(item):
        seen.setdefault(threading.current_thread().name, np.geterr())
        time.sleep(0.001)

    with np.errstate(all="ignore", divide="raise", over="warn"):
        expected = np.geterr()
        mapped(function, range(60))
    assert len(seen) == number
    assert all(state == expected for state in seen.values())


def test_one_objects_property_is_computed_while_anothers_is():
    """In Python 3.11 those of functools wait for each other, also for threads before a fork."""
    begun, go_on = threading.Event(), threading.Event()

    class Slow:
        @cached_property
        def value(self):
            """What takes its time."""
            begun.set()
            go_on.wait(20)
            return []

    first, second = Slow(), Slow()
    waiting = threading.Thread(target=lambda: first.value)
    waiting.start()
    assert begun.wait(20)
    other = threading.Thread(target=lambda: second.value)
    other.start()
    time.sleep(0.05)
    go_on.set()
    for thread in (waiting, other):
        thread.join(20)
    assert first.value is first.value
    assert first.value is not second.value


# -- processes that are forked ----------------------------------------------------------------------
def run(program):
    """Run a program that forks, in which BLAS and OpenMP have two threads, whatever the machine."""
    begin = """
import os, threading, time
import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits
from emgmm import GaussianMixture, threads

X = np.random.default_rng(0).normal(size=(2000, 3))
X[::2] += 5

def fitted(start="random_from_data"):
    model = GaussianMixture(2, init_params=start, random_state=0, max_iter=50, tol=1e-6)
    return model.fit(X).means_

def limits():
    return [(library["filepath"], library["num_threads"]) for library in threadpool_info()]

def status(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def check_in_child(check):
    child = os.fork()
    if not child:
        os._exit(0 if check() else 1)
    assert status(child) == 0

before, expected = limits(), fitted()
"""
    variables = {**os.environ, "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    subprocess.run([sys.executable, "-c", begin + program], check=True, timeout=60, env=variables)


forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")


@forks
def test_a_process_forked_after_kmeans_fits_too():
    """GNU's OpenMP would wait for threads that were not forked; 'random' needs the escape."""
    run("""
import multiprocessing

starts = ["kmeans", "whitened-kmeans", "random"]
expected = [fitted(start) for start in starts]
with multiprocessing.get_context("fork").Pool(2) as pool:
    found = pool.map(fitted, 2 * starts, chunksize=1)
for means, right in zip(found, 2 * expected):
    np.testing.assert_allclose(means, right, rtol=1e-10)
check_in_child(lambda: all(fitted(start).any() for start in starts) and limits() == before)
""")


@forks
def test_a_fit_in_another_thread_does_not_limit_a_forked_process():
    """The other thread has limited BLAS, for a fit that never ends in the new process."""
    run("""
inside, go_on = threading.Event(), threading.Event()

def start(rows, n_components, random_state):
    inside.set()
    go_on.wait(20)
    return rows[:n_components]

other = threading.Thread(target=fitted, args=(start,))
other.start()
assert inside.wait(20)
assert limits() != before
check_in_child(lambda: limits() == before and (fitted() == expected).all() and limits() == before)
go_on.set()
other.join()
assert limits() == before
""")


@forks
def test_a_lock_that_another_thread_holds_is_free_in_a_forked_process():
    run("""
holds, go_on, allowed = threading.Event(), threading.Event(), threads._allowed

def slowly(controller):
    if threading.current_thread() is not threading.main_thread():
        holds.set()
        go_on.wait(20)
    return allowed(controller)

threads._allowed = slowly
other = threading.Thread(target=fitted)
other.start()
assert holds.wait(20)
check_in_child(lambda: (fitted() == expected).all() and limits() == before)
go_on.set()
other.join()
threadpool_limits(1)  # from now on, and no longer what a fit has found
check_in_child(lambda: limits() == [(path, 1) for path, _ in before])
""")


@forks
def test_a_fit_that_is_forked_inside_ends_in_both_processes():
    run("""
children = []

def start(rows, n_components, random_state):
    children.append(os.fork())
    return rows[:n_components]

found = fitted(start)
right = np.allclose(found, fitted(lambda rows, K, _: rows[:K]), rtol=1e-10) and limits() == before
with threads.one_blas_thread():
    right = right and limits() != before
if not children[0]:
    os._exit(0 if right else 1)
assert right
assert status(children[0]) == 0
""")


@forks
def test_processes_forked_at_any_moment_of_a_fit_can_fit():
    run("""
over = threading.Event()

def go_on():
    while not over.is_set():
        fitted()

other = threading.Thread(target=go_on)
other.start()
for number in range(20):
    time.sleep(0.0007 * number)
    check_in_child(lambda: (fitted() == expected).all() and limits() == before)
over.set()
other.join()
""")


@forks
@pytest.mark.parametrize("step", ["import", "compile"])
def test_a_fork_waits_until_the_kernel_has_been_imported_and_compiled(step):
    """The new process would wait forever for the lock of the module, or of numba's compiler."""
    pytest.importorskip("numba")
    run(f"""
import signal, sys
from numba.core.compiler_lock import global_compiler_lock
from emgmm.estep import compiled
from emgmm.estep.compiled import estep, kernel

begun, compiled_for = threading.Event(), kernel.compiled_for
X = np.repeat(X, 40, axis=0)  # enough rows for the kernel
expected = fitted()

def slowly():
    if threading.current_thread() is not threading.main_thread():
        begun.set()
        time.sleep(1)

class Finder:
    def find_spec(self, name, *others):
        if name == estep.KERNEL:
            slowly()

@global_compiler_lock
def compiled_slowly(signature, function):
    slowly()
    return compiled_for(signature, function)

for each in (estep.kernel, estep.compiled):
    each.cache_clear()
if {step == "import"}:
    sys.meta_path.insert(0, Finder())
    del sys.modules[estep.KERNEL], compiled.kernel
else:
    kernel.compiled_for = compiled_slowly
other = threading.Thread(target=fitted)
other.start()
assert begun.wait(20)
check_in_child(lambda: signal.alarm(10) == 0 and (fitted() == expected).all())
other.join()
""")


@forks
def test_a_thread_that_imports_or_compiles_may_fork():
    run("""
with threads.without_forks:
    child = os.fork()
right = (fitted() == expected).all()
if not child:
    os._exit(0 if right else 1)
assert right
assert status(child) == 0
check_in_child(lambda: (fitted() == expected).all())
""")

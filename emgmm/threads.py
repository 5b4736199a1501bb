"""Threads: ours run over blocks, and BLAS is held to one while they do.

OpenBLAS with one thread and with two are not the same to the last bit, and several of its threads
under several of ours would fight for the cores. So BLAS gets one, always; blocks are shared out to
as many threads as BLAS and OpenMP were allowed, and their results come back in order: nothing that
is computed depends on how many there were. NumPy's error handling belongs to a thread; ours have
that of the caller, but for underflow, which is no error in densities: what is too small is 0.

Two overlapping uses of threadpoolctl's limiter, from two threads, leave BLAS at one thread for the
rest of the process: the second remembers the first's limit as the original. So there is one limiter
for the process, which counts who is inside.

A forked process has one thread, whatever the others were doing: locks that they held are never
released, and limits that they set are never restored. So both are reset there. GNU's OpenMP does
not notice that its threads are gone and waits for them for ever; in a forked process OpenMP, which
scikit-learn's k-means uses, is therefore held to one thread too.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache, partial
from itertools import chain, islice
from threading import Lock
from typing import Any, Generic, NoReturn, TypeVar

import numpy as np
from joblib import cpu_count
from threadpoolctl import LibController, ThreadpoolController

Item = TypeVar("Item")
Result = TypeVar("Result")


# What affinity and a container's limits leave; it reads files, so it is asked once.
_cores = cache(cpu_count)


def _allowed(controller: ThreadpoolController) -> int:
    """As many threads as the cores, and the strictest of the libraries' limits."""
    return min([_cores(), *(library.num_threads for library in controller.lib_controllers)])


def _limited(controller: ThreadpoolController, user_api: str) -> list[tuple[LibController, int]]:
    """The libraries with that interface, and the numbers of threads that they have now."""
    libraries = [each for each in controller.lib_controllers if each.user_api == user_api]
    return [(library, library.num_threads) for library in libraries]


def _set(library: LibController, number: int) -> None:
    """Set a library's number of threads, whoever set it before.

    From version 3.7 on threadpoolctl lets only one thread at a time set that of OpenBLAS, and does
    nothing for others until that one has released it.
    """
    release = getattr(library, "clear_controlling_thread", lambda force: None)  # noqa: ARG005
    release(force=True)
    library.set_num_threads(number)
    release(force=True)


def _set_to_one(libraries: list[tuple[LibController, int]]) -> None:
    for library, _ in libraries:
        _set(library, 1)


def _restore(libraries: list[tuple[LibController, int]]) -> None:
    for library, number in libraries:
        _set(library, number)


class _OneThread:
    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._controller: ThreadpoolController | None = None  # 5 ms to make, so made once
        self._before: list[tuple[LibController, int]] = []
        self._forked = False
        self.n_threads = 1

    @contextmanager
    def __call__(self) -> Iterator[None]:
        lock = self._lock
        with lock:
            if self._controller is None:
                self._controller = ThreadpoolController()
            if self._inside == 0:
                self.n_threads = _allowed(self._controller)
                self._before = _limited(self._controller, "blas")
                _set_to_one(self._before)
            self._inside += 1
        # OpenMP's limit belongs to the thread that sets it.
        openmp = _limited(self._controller, "openmp") if self._forked else []
        _set_to_one(openmp)
        try:
            with np.errstate(under="ignore"):  # shares and squares that underflow are 0
                yield
        finally:
            _restore(openmp)
            if lock is self._lock:  # otherwise the process was forked inside, and all was restored
                with lock:
                    self._inside -= 1
                    if self._inside == 0:
                        self._leave()

    def _leave(self) -> None:
        _restore(self._before)
        self._before = []
        self.n_threads = 1

    def after_fork(self) -> None:
        """In the new process nobody is inside."""
        self._lock = Lock()
        self._inside = 0
        self._forked = True
        self._leave()


one_blas_thread = _OneThread()


@cache
def _crew(hands: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(hands, thread_name_prefix="emgmm")


if hasattr(os, "register_at_fork"):  # threads do not survive a fork
    os.register_at_fork(after_in_child=one_blas_thread.after_fork)
    os.register_at_fork(after_in_child=_crew.cache_clear)


class cached_property(Generic[Result]):  # noqa: N801
    """As in functools, without the lock that Python 3.11 shares among all instances.

    Threads would wait for each other, and a process that is forked meanwhile would wait for ever.
    Two threads may both compute the value.
    """

    def __init__(self, function: Callable[[Any], Result]) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    def __get__(self, instance: Any, owner: type | None = None) -> Result:
        result = self._function(instance)
        instance.__dict__[self._function.__name__] = result
        return result


class _Task(Generic[Result]):
    """Something to do, done by the crew or by whoever takes it from them."""

    def __init__(self, crew: ThreadPoolExecutor, function: Callable[[], Result]) -> None:
        self._function = function
        self._future = crew.submit(function)

    @property
    def is_done(self) -> bool:
        return self._future.done()

    def withdraw(self) -> bool:
        """See to it that nobody begins it; False if somebody has."""
        return self._future.cancel()

    def take(self) -> bool:
        """Do it here, unless somebody has begun it."""
        if not self.withdraw():
            return False
        self._future = Future()
        try:
            self._future.set_result(self._function())
        except Exception as error:  # its turn comes after the results before
            self._future.set_exception(error)
        return True

    def wait(self) -> None:
        wait([self._future])

    def outcome(self) -> Result:
        """What it came to, once it is done."""
        return self._future.result()


def _calls(
    function: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Callable[[], Result]]:
    """The function of each item, to be called; where there should be an item and is an error, it.

    So what goes wrong with the items has its turn too: after the results of those before.
    """
    try:
        for item in items:
            yield partial(function, item)
    except Exception as error:
        yield partial(_raise, error)


def _raise(error: Exception) -> NoReturn:
    raise error


def _under(errors: dict[str, Any], call: Callable[[], Result]) -> Result:
    """The result of a call that handles NumPy's floating-point errors like this."""
    with np.errstate(**errors):
        return call()


def in_order(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """The function of each item, in the order of the items; inside `one_blas_thread`, on threads.

    The caller's thread is one of them: it takes the items, no more than keep all busy, and lends a
    hand in between, for to be woken up for each result takes longer than a small block. While no
    item is there nobody waits for it. When the iterator is closed, or a function raises, nothing is
    left running.
    """
    items = iter(items)
    first_two = list(islice(items, 2))
    items = chain(first_two, items)
    hands = one_blas_thread.n_threads
    if hands == 1 or len(first_two) < 2:
        yield from map(function, items)
        return
    crew, errors = _crew(hands - 1), {"call": np.geterrcall(), **np.geterr()}
    under_way: deque[_Task[Result]] = deque()

    def lend_a_hand() -> bool:
        return any(task.take() for task in under_way)

    def first() -> Result:
        while not under_way[0].is_done and lend_a_hand():
            pass
        return under_way.popleft().outcome()

    try:
        for call in _calls(function, items):
            under_way.append(_Task(crew, partial(_under, errors, call)))
            if len(under_way) > 2 * hands:
                lend_a_hand()
                while under_way and (under_way[0].is_done or len(under_way) > 2 * hands):
                    yield first()
        while under_way:
            yield first()
    finally:
        for task in [task for task in under_way if not task.withdraw()]:
            task.wait()

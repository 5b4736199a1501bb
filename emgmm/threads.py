"""Threads: ours run over blocks, and BLAS is held to one while they do.

OpenBLAS with one thread and with two are not the same to the last bit, and several of its threads
under several of ours would fight for the cores. So BLAS gets one, always; blocks are shared out to
as many threads as BLAS and OpenMP were allowed, and their results come back in order: nothing that
is computed depends on how many there were.

Two overlapping uses of threadpoolctl's limiter, from two threads, leave BLAS at one thread for the
rest of the process: the second remembers the first's limit as the original. So there is one limiter
for the process, which counts who is inside.
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
from typing import Generic, NoReturn, TypeVar

from joblib import cpu_count
from threadpoolctl import LibController, ThreadpoolController

Item = TypeVar("Item")
Result = TypeVar("Result")


# What affinity and a container's limits leave; it reads files, so it is asked once.
_cores = cache(cpu_count)


def _allowed(controller: ThreadpoolController) -> int:
    """As many threads as the cores, and the strictest of the libraries' limits."""
    return min([_cores(), *(library.num_threads for library in controller.lib_controllers)])


class _OneThread:
    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._controller: ThreadpoolController | None = None  # 5 ms to make, so made once
        self._before: list[tuple[LibController, int]] = []
        self.hands = 1

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if self._inside == 0:
                if self._controller is None:
                    self._controller = ThreadpoolController()
                self.hands = _allowed(self._controller)
                self._before = [
                    (library, library.num_threads)
                    for library in self._controller.lib_controllers
                    if library.user_api == "blas"
                ]
                for library, _ in self._before:
                    library.set_num_threads(1)
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    for library, number in self._before:
                        library.set_num_threads(number)
                    self.hands = 1


one_blas_thread = _OneThread()


@cache
def _crew(hands: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(hands, thread_name_prefix="emgmm")


if hasattr(os, "register_at_fork"):  # threads do not survive a fork
    os.register_at_fork(after_in_child=_crew.cache_clear)


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
    hands = one_blas_thread.hands
    if hands == 1 or len(first_two) < 2:
        yield from map(function, items)
        return
    crew = _crew(hands - 1)
    under_way: deque[_Task[Result]] = deque()

    def lend_a_hand() -> bool:
        return any(task.take() for task in under_way)

    def first() -> Result:
        while not under_way[0].is_done and lend_a_hand():
            pass
        return under_way.popleft().outcome()

    try:
        for call in _calls(function, items):
            under_way.append(_Task(crew, call))
            if len(under_way) > 2 * hands:
                lend_a_hand()
                while under_way and (under_way[0].is_done or len(under_way) > 2 * hands):
                    yield first()
        while under_way:
            yield first()
    finally:
        for task in [task for task in under_way if not task.withdraw()]:
            task.wait()

"""Parallel processing of blocks by threads, during which BLAS is limited to one thread.

The results of OpenBLAS differ in the last bits between one thread and two, and threads of BLAS
within several threads would compete for the cores. Therefore BLAS always uses one thread. Blocks
are distributed over as many threads as BLAS and OpenMP may use, and their results are returned in
order, so that no result depends on the number of threads. The threads use the caller's settings for
floating-point errors, except that underflow is ignored: it is no error in densities.

If two threads use threadpoolctl's limiter at overlapping times, BLAS remains limited for the rest
of the process, because the second takes the limit of the first for the original setting. Therefore
the process has one limiter, which counts the active contexts.

After a fork the new process has one thread. Locks that other threads held are never released, and
limits that they set are never restored, so both are reset. Locks of imports and of the compiler
cannot be reset, so a fork waits for them; see `without_forks`. GNU OpenMP does not notice that its
threads no longer exist, and waits for them forever. Therefore OpenMP, which scikit-learn's k-means
uses, is limited to one thread in a forked process.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from functools import cache, partial
from itertools import chain, islice
from threading import Lock, RLock
from typing import Any, Generic, NoReturn, TypeVar

import numpy as np
from joblib import cpu_count
from threadpoolctl import LibController, ThreadpoolController

# Number of multiplications up to which BLAS uses one thread. OpenBLAS divides products of a matrix
# and a vector from 9216 on, and other products from 2**18 on.
SINGLE = 2**12

Item = TypeVar("Item")
Result = TypeVar("Result")


# Cores available under CPU affinity and container limits; cached, because it reads files.
_cores = cache(cpu_count)

# Controller of the libraries that are loaded at the first call; cached, because it takes 5 ms.
_controller = cache(ThreadpoolController)


def _limits() -> list[tuple[LibController, int]]:
    """Return all libraries and their present numbers of threads."""
    return [(library, library.num_threads) for library in _controller().lib_controllers]


def _allowed(limits: list[tuple[LibController, int]]) -> int:
    """Return the number of threads that the cores and the limits of all libraries allow."""
    return min([_cores(), *(number for _, number in limits)])


def _with_threads(
    limits: list[tuple[LibController, int]], user_api: str
) -> list[tuple[LibController, int]]:
    """Return the libraries with an interface that use more than one thread."""
    return [(each, number) for each, number in limits if each.user_api == user_api and number > 1]


def _set(libraries: list[tuple[LibController, int]]) -> None:
    """Set the numbers of threads of libraries, even if other threads have set them.

    Since version 3.7, threadpoolctl ignores requests to OpenBLAS from other threads than the one
    that made the first request, until this one releases its control.
    """
    for library, number in libraries:
        release = getattr(library, "clear_controlling_thread", lambda force: None)  # noqa: ARG005
        release(force=True)
        library.set_num_threads(number)
        release(force=True)


class _OneThread:
    def __init__(self) -> None:
        self._lock = Lock()
        self._n_active = 0
        self._before: list[tuple[LibController, int]] = []
        self._forked = False
        self.n_threads = 1

    @contextmanager
    def __call__(self) -> Iterator[None]:
        lock = self._lock
        with lock:
            if self._n_active == 0:
                limits = _limits()
                self.n_threads = _allowed(limits)
                self._before = _with_threads(limits, "blas")
                _set([(library, 1) for library, _ in self._before])
            self._n_active += 1
        # The limit of OpenMP applies only to the thread that sets it.
        openmp = _with_threads(_limits(), "openmp") if self._forked else []
        _set([(library, 1) for library, _ in openmp])
        try:
            with np.errstate(under="ignore"):  # responsibilities and squares become 0
                yield
        finally:
            _set(openmp)
            if lock is self._lock:  # otherwise the process has been forked, and all was restored
                with lock:
                    self._n_active -= 1
                    if self._n_active == 0:
                        self._reset()

    def _reset(self) -> None:
        _set(self._before)
        self._before = []
        self.n_threads = 1

    def after_fork(self) -> None:
        """Reset the state in the new process, where no context is active."""
        self._lock = Lock()
        self._n_active = 0
        self._forked = True
        self._reset()


one_blas_thread = _OneThread()


def one_blas_thread_for(n_products: int) -> AbstractContextManager[None]:
    """Return `one_blas_thread`, or a faster context if BLAS uses one thread anyway.

    Parameters
    ----------
    n_products : int
        Number of multiplications in the largest matrix product.
    """
    return one_blas_thread() if n_products > SINGLE else np.errstate(under="ignore")


@cache
def _executor(n_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n_threads, thread_name_prefix="emgmm")


# Context during which other threads do not fork the process. In a process that is forked while a
# thread imports or compiles, whoever needs the same module or the compiler would wait forever.
without_forks = RLock()

if hasattr(os, "register_at_fork"):  # threads do not survive a fork
    os.register_at_fork(
        before=without_forks.acquire,
        after_in_parent=without_forks.release,
        after_in_child=without_forks.release,
    )
    os.register_at_fork(after_in_child=one_blas_thread.after_fork)
    os.register_at_fork(after_in_child=_executor.cache_clear)


class cached_property(Generic[Result]):  # noqa: N801
    """A `functools.cached_property` without the lock that Python 3.11 shares among all instances.

    With this lock, threads would wait for each other, and a process forked meanwhile would wait
    forever. Without it, two threads may both compute the value.
    """

    def __init__(self, function: Callable[[Any], Result]) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    def __get__(self, instance: Any, owner: type | None = None) -> Result:
        result = self._function(instance)
        instance.__dict__[self._function.__name__] = result
        return result


class _Task(Generic[Result]):
    """A function call that either the executor or the caller's thread performs."""

    def __init__(self, executor: ThreadPoolExecutor, function: Callable[[], Result]) -> None:
        self._function = function
        self.future = executor.submit(function)

    def call_here(self) -> bool:
        """Perform the call in this thread; return False if it has already started."""
        if not self.future.cancel():
            return False
        self.future = Future()
        try:
            self.future.set_result(self._function())
        except Exception as error:  # raised after the preceding results
            self.future.set_exception(error)
        return True


def _calls(
    function: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Callable[[], Result]]:
    """Yield a call of the function for each item.

    If the iterator raises an error, the last call raises it, after the results of the other calls.
    """
    try:
        for item in items:
            yield partial(function, item)
    except Exception as error:
        yield partial(_raise, error)


def _raise(error: Exception) -> NoReturn:
    raise error


def in_order(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield the function of each item in order, in several threads inside `one_blas_thread`.

    The calling thread alone draws the items, no more than keep all threads busy. Meanwhile it
    processes items as well, since being woken up for each result takes longer than a small block.
    No other thread waits for items. When the iterator is closed, or a function raises, no thread
    is left running.
    """
    n_threads = one_blas_thread.n_threads
    if n_threads == 1:
        yield from map(function, items)
        return
    items = iter(items)
    first_two = list(islice(items, 2))
    if len(first_two) < 2:
        yield from map(function, first_two)
        return
    items = chain(first_two, items)
    executor = _executor(n_threads - 1)
    errors: dict[str, Any] = {"call": np.geterrcall(), **np.geterr()}
    tasks: deque[_Task[Result]] = deque()

    def process_one() -> bool:
        return any(task.call_here() for task in tasks)

    def first() -> Result:
        while not tasks[0].future.done() and process_one():
            pass
        return tasks.popleft().future.result()

    try:
        for call in _calls(function, items):
            tasks.append(_Task(executor, np.errstate(**errors)(call)))
            if len(tasks) > 2 * n_threads:
                process_one()
                while tasks and (tasks[0].future.done() or len(tasks) > 2 * n_threads):
                    yield first()
        while tasks:
            yield first()
    finally:
        wait([task.future for task in tasks if not task.future.cancel()])

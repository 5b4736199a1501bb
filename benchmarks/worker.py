"""A worker: a fresh process that runs one function with a given number of threads, and ends."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

Result = TypeVar("Result")


def in_worker(threads: int, function: Callable[..., Result], *arguments: Any) -> Result:
    """What the function returns, in a fresh process."""
    os.environ.update(dict.fromkeys(VARIABLES, str(threads)))  # the worker inherits them
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_call, threads, function, arguments).result()


def _call(threads: int, function: Callable[..., Result], arguments: tuple[Any, ...]) -> Result:
    warnings.simplefilter("ignore")  # that so few iterations do not converge is meant to be
    with threadpool_limits(threads):
        return function(*arguments)

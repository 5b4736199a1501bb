"""Timing: libraries take turns on one problem (A B C, A B C, ...), in one process."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import median
from time import perf_counter

from benchmarks import libraries
from benchmarks.agreement import log_likelihood
from benchmarks.problems import Problem


@dataclass
class Timing:
    """One library on one problem: seconds, round by round, and where EM ended."""

    whole: list[float] = field(default_factory=list)
    iteration: list[float] = field(default_factory=list)
    log_likelihood: float = float("nan")
    failure: str = ""


def seconds(function: Callable[[], object]) -> float:
    """Time that one call takes."""
    gc.collect()
    gc.disable()
    try:
        begun = perf_counter()
        function()
        return perf_counter() - begun
    finally:
        gc.enable()


def ratio(reference: Sequence[float], other: Sequence[float]) -> float:
    """How many times as fast the other is: the median over rounds, each round for itself."""
    return median(r / o if o > 0 else float("inf") for r, o in zip(reference, other, strict=True))


def measure(problem: Problem, names: Sequence[str], repeats: int) -> dict[str, Timing]:
    """Times of the libraries on a problem, after one fit each to warm up."""
    X, start = problem.make()
    once = replace(problem, iterations=1)
    timings = {name: Timing() for name in names}
    fits = {name: libraries.load(name).fit for name in names}
    for name, timing in timings.items():
        try:
            timing.log_likelihood = log_likelihood(fits[name](problem, X, start), X)
        except Exception as error:
            timing.failure = f"{type(error).__name__}: {error}"
            del fits[name]
    for _ in range(repeats):
        for name, fit in fits.items():
            first = seconds(partial(fit, once, X, start))
            whole = seconds(partial(fit, problem, X, start))
            timings[name].whole.append(whole)
            timings[name].iteration.append((whole - first) / (problem.iterations - 1))
    return timings

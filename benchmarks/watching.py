"""Watching: what it costs a sound fit to be looked at for what could be wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.table import table
from emgmm import GaussianMixture, estimator

LEGEND = """\
Default fits of well separated clusters. *Watching* is the time, measured within the fit, inside
the checks that every fit ends with: coincidence, collapse, starvation, Aitken's estimate."""

SIZES = ((150, 4, 3), (2000, 2, 3), (20_000, 8, 8), (200_000, 8, 8), (20_000, 64, 32))
WATCHERS = ("has_coincident", "warnings_of", "aitken")


def rows(N: int, D: int, K: int) -> Any:
    """Clusters from a fixed seed."""
    random = np.random.default_rng(0)
    means = 4 * random.normal(size=(K, D))
    return means[random.integers(K, size=N)] + random.normal(size=(N, D))


class Stopwatch:
    """Adds up the time inside some functions."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed."""

        def timed(*args: Any, **more: Any) -> Any:
            begun = perf_counter()
            try:
                return function(*args, **more)
            finally:
                self.seconds += perf_counter() - begun

        return timed


def watched(X: Any, K: int, covariance_type: str) -> tuple[float, float]:
    """Seconds of a whole fit, and of those the seconds spent watching."""
    watch = Stopwatch()
    own = {name: getattr(estimator, name) for name in WATCHERS}
    try:
        for name, function in own.items():
            setattr(estimator, name, watch.around(function))
        model = GaussianMixture(K, covariance_type=covariance_type, random_state=0)
        begun = perf_counter()
        model.fit(X)
        return perf_counter() - begun, watch.seconds
    finally:
        for name, function in own.items():
            setattr(estimator, name, function)


def report(repeats: int) -> Iterator[str]:
    """The table."""
    lines = []
    for N, D, K in SIZES:
        X = rows(N, D, K)
        for covariance_type in ("full", "tied", "diag", "spherical"):
            runs = [watched(X, K, covariance_type) for _ in range(repeats + 1)][1:]
            whole, watching = (1e3 * median(column) for column in zip(*runs, strict=True))
            figures = [f"{whole:.1f}", f"{watching:.3f}", f"{watching / whole:.2%}"]
            lines.append([f"{N}x{D}x{K}-{covariance_type}", *figures])
    yield LEGEND
    yield table(["fit", "ms", "watching, ms", "share"], lines)

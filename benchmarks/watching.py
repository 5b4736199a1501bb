"""Watching: what it costs a sound fit to be looked at for what could be wrong."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.libraries import OURS
from benchmarks.options import Options
from benchmarks.table import table
from benchmarks.timing import Stopwatch
from emgmm import GaussianMixture, em
from emgmm.fitting import loop, messages

TITLE = "Cost of the checks of a fit"
LIBRARIES = OURS[:1]
LEGEND = """\
Default fits of well separated clusters. *Watching* is the time within the fit that the checks at
its end take: identical, collapsed and starved components, and Aitken's estimate."""

SIZES = ((150, 4, 3), (2000, 2, 3), (20_000, 8, 8), (200_000, 8, 8), (20_000, 64, 32))
WATCHERS = ((em, "coincident"), (messages, "component_warnings"), (loop, "gain_left"))


def rows(N: int, D: int, K: int) -> Any:
    """Clusters from a fixed seed."""
    random = np.random.default_rng(0)
    means = 4 * random.normal(size=(K, D))
    return means[random.integers(K, size=N)] + random.normal(size=(N, D))


def watched(X: Any, K: int, covariance_type: str) -> tuple[float, float]:
    """Seconds of a whole fit, and of those the seconds spent watching."""
    watch = Stopwatch()
    own = {place: getattr(*place) for place in WATCHERS}
    try:
        for place, function in own.items():
            setattr(*place, watch.around(function))
        model = GaussianMixture(K, covariance_type=covariance_type, random_state=0)
        begun = perf_counter()
        model.fit(X)
        return perf_counter() - begun, watch.seconds
    finally:
        for place, function in own.items():
            setattr(*place, function)


def problems(quick: bool) -> list[Any]:  # noqa: ARG001
    """They have no names: all are measured."""
    return []


def report(options: Options) -> Iterator[str]:
    """The table."""
    lines = []
    for N, D, K in SIZES[: 2 if options.quick else None]:
        X = rows(N, D, K)
        for covariance_type in ("full", "tied", "diag", "spherical"):
            runs = [watched(X, K, covariance_type) for _ in range(options.repeats + 1)][1:]
            whole, watching = (1e3 * median(column) for column in zip(*runs, strict=True))
            figures = [f"{whole:.1f}", f"{watching:.3f}", f"{watching / whole:.2%}"]
            lines.append([f"{N}x{D}x{K}-{covariance_type}", *figures])
    yield LEGEND
    yield table(["fit", "ms", "watching, ms", "share"], lines)

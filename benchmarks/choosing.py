"""Choosing: a grid of fits and its criterion, scikit-learn's by a loop and ours by one class."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks import libraries, timing
from benchmarks.defaults import TYPES, overlapping
from benchmarks.libraries import OURS, REFERENCE
from benchmarks.options import Options, progress
from benchmarks.table import figure, table
from benchmarks.timing import Turns, ratio, seconds
from benchmarks.workers import workers

TITLE = "Model selection"
LIBRARIES = (REFERENCE, *OURS)
SEED = 0
AGREE = 1e-9

# The defaults of a single fit, which are not those of a choice.
AS_ALONE: dict[str, Any] = {
    "tol": 1e-3,
    "max_iter": 100,
    "reg_covar": 1e-6,
    "init_params": "kmeans",
    "acceleration": None,
}
LEGEND = f"""\
Fits of 1 to K components of each of scikit-learn's four types, and their BIC, by scikit-learn's
`GaussianMixture` in a loop, and by `GaussianMixtureIC` with one job and with as many jobs as there
are threads. The other parameters are the defaults of `GaussianMixture`, with random_state={SEED}.
Seconds are medians, and ratios are medians over the rounds. *Difference* is the largest relative
difference between the BICs of the same cell; they agree up to {AGREE:.0e}."""


@dataclass(frozen=True)
class Grid:
    """Rows, and the most components that they are fitted with."""

    n_rows: int
    n_features: int
    most: int

    @property
    def name(self) -> str:
        """Of the rows' shape and of the grid."""
        return f"{self.n_rows}x{self.n_features}, K = 1..{self.most}"


GRIDS = (Grid(2_000, 4, 9), Grid(100_000, 8, 9))
QUICK = (Grid(2_000, 4, 3),)


def problems(quick: bool) -> list[Grid]:
    return list(QUICK if quick else GRIDS)


@lru_cache(maxsize=1)
def made(grid: Grid) -> NDArray[np.floating]:
    """Its rows."""
    return overlapping(grid.n_rows, grid.n_features, 5)


class Turn(NamedTuple):
    """One whole grid: seconds, and BICs in the order of types, then components."""

    whole: float
    bic: list[float]


def by_loop(estimator: Any, grid: Grid) -> list[float]:
    """The BICs, one fit after the other."""
    X = made(grid)
    return [
        estimator(K, covariance_type=kind, random_state=SEED).fit(X).bic(X)
        for kind in TYPES
        for K in range(1, grid.most + 1)
    ]


def by_class(n_jobs: int, grid: Grid) -> list[float]:
    """The same, by the class."""
    from emgmm import GaussianMixtureIC

    chosen = GaussianMixtureIC(
        range(1, grid.most + 1),
        covariance_type=list(TYPES),
        random_state=SEED,
        n_jobs=n_jobs,
        **AS_ALONE,
    )
    results = chosen.fit(made(grid)).results_
    cells = zip(results["covariance_type"], results["n_components"], strict=True)
    found = dict(zip(cells, results["bic"], strict=True))
    return [found[kind, K] for kind in TYPES for K in range(1, grid.most + 1)]


def take(name: str, grid: Grid, n_jobs: int) -> Turn:
    """One turn of a library."""
    estimator = libraries.load(name).estimator()
    way: Callable[[], list[float]] = partial(by_class, n_jobs, grid)
    if name == REFERENCE:
        way = partial(by_loop, estimator, grid)
    made(grid)
    found: list[list[float]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fits that max_iter ends
        return Turn(seconds(lambda: found.append(way())), found[-1])


def report(options: Options) -> Iterator[str]:
    """The paragraphs of the report."""
    lines = []
    several = f"{OURS[0]}, n_jobs={options.threads}"
    with workers(options.libraries, options.threads) as staff:
        for grid in progress(options.problems):
            takers = {
                name: partial(worker.call, take, name, grid, 1) for name, worker in staff.items()
            }
            if OURS[0] in staff:
                worker = staff[OURS[0]]
                takers[several] = partial(worker.call, take, OURS[0], grid, options.threads)
            lines.append([grid.name, *cells(timing.take_turns(takers, options.repeats), options)])
    yield LEGEND
    yield table(["grid", *takers, "difference"], lines)


def cells(turns: dict[str, Turns[Turn]], options: Options) -> Iterator[str]:
    """One line of the table, but for its name."""
    reference = turns[REFERENCE].results
    apart = 0.0
    for name, turn in turns.items():
        if turn.failure:
            options.wrong.append(f"{name}: {turn.failure}")
            yield "failed"
            continue
        taken = [each.whole for each in turn.results]
        own, others = (np.array(each[-1].bic) for each in (turn.results, reference))
        apart = max(apart, float(np.abs(own / others - 1).max()))
        beside = ratio([each.whole for each in reference], taken)
        yield figure(median(taken)) + ("" if name == REFERENCE else f" ({figure(beside)}x)")
    if apart > AGREE:
        options.wrong.append(f"BICs differ by {apart:.0e}")
    yield f"{apart:.0e}"

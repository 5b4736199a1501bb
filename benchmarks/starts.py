"""Starts: how often EM from each reaches the best likelihood known, and what that costs."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from math import inf, nan
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.libraries import OURS
from benchmarks.options import Options, progress
from benchmarks.table import figure, section, table
from emgmm import CollapsedComponentWarning, GaussianMixture
from emgmm.datasets import old_faithful
from emgmm.initialization import STARTS
from emgmm.initialization.hierarchical import TREE_ROWS
from emgmm.sources import ArraySource

TITLE = "Starts"
LIBRARIES = OURS[:1]
DATA = Path(__file__).parents[1] / "tests" / "data"
N_DRAWN = 50
WILD = 5  # of every so many drawn problems one has columns of wild scales
NEAR = 1e-5  # nats per row below the best: reached
RULES = {"tol": 1e-8, "max_iter": 3000}
LEGEND = f"""\
EM with full covariances from each start, with as many seeds as rounds and `tol=1e-8`; the other
parameters have their defaults. *Reached* is the proportion of the fits that end within 1e-5 nats
per row of the best fit of all starts and seeds. Fits with a collapsed component, whose likelihood
can be arbitrarily high, do not count as successful. *Passes* are the rows that E-steps and M-steps
process from the start to the end, divided by N, as medians; *before* are those of the start itself.
*Per hit* is the number of all passes divided by the number of successful fits: the average cost of
a success by repeated starts. *Seconds* are those of the start alone, the median and the maximum.
The passes of k-means and of the hierarchical clustering are included only in the seconds. For at
most {TREE_ROWS} rows, as here, the hierarchical start does not depend on a seed, and is made once.

The random problems have K = 2 to 10 clusters in D = 2 to 10 features, and 200 K rows. The two
nearest means are 1 to 8 units apart. The standard deviations along the axes of a cluster are 0.37
to 2.7 times its size, and the smallest clusters have a fifth of the mean proportion. *Clear*
problems have a distance of at least 4 units, and *overlapping* ones less than 2. One problem in
{WILD} has columns in units of 1 to 1e4; these are in the group *wild scales* and in no other."""


@dataclass(frozen=True)
class Case:
    """Rows, and the number of components that they are fitted with."""

    name: str
    group: str
    X: NDArray[np.float64]
    n_components: int


class Fitted(NamedTuple):
    """Where a fit ended, and the passes that it made."""

    end: float
    passes: float


class Begun(NamedTuple):
    """What a start alone costs."""

    passes: float
    seconds: float


def drawn(number: int) -> Case:
    """Elongated clusters of unequal sizes and shares, from 8 down to 1 units apart."""
    random = np.random.default_rng(7000 + number)
    separation = 8 * (1 / 8) ** (number / (N_DRAWN - 1))
    K, D = int(random.integers(2, 11)), int(random.integers(2, 11))
    means = random.normal(size=(K, D))
    distances = np.linalg.norm(means[:, None] - means, axis=2) + 1e9 * np.eye(K)
    means *= separation / distances.min()
    sizes = np.exp(0.4 * random.normal(size=(K, 1)))
    widths = sizes * np.exp(random.uniform(-1, 1, size=(K, D)))
    axes = np.linalg.qr(random.normal(size=(K, D, D)))[0]
    shares = 0.8 * random.dirichlet(np.full(K, 4.0)) + 0.2 / K
    labels = random.choice(K, size=200 * K, p=shares)
    noise = widths[labels] * random.normal(size=(200 * K, D))
    X = means[labels] + np.einsum("nij,nj->ni", axes[labels], noise)
    group = "clear" if separation >= 4 else "middle" if separation >= 2 else "overlapping"
    if number % WILD == 0:
        X *= 10 ** random.uniform(0, 4, size=D)
        group = "wild scales"
    return Case(f"{number}: {group}, {separation:.1f} apart, K {K}, D {D}", group, X, K)


def measured(name: str) -> NDArray[np.float64]:
    """A table that the tests keep; its classes, if it has any, are left out."""
    with (DATA / f"{name}.csv").open() as file:
        header = file.readline().strip().split(",")
        width = len(header) - (header[-1] == "class")
        return np.loadtxt(file, delimiter=",", usecols=range(width), ndmin=2)


def real() -> Iterator[Case]:
    """Eight, of six tables."""
    from sklearn.datasets import load_iris, load_wine

    faithful, iris, wine = old_faithful().rows, load_iris().data, load_wine().data
    tables = {"faithful": faithful, "iris": iris, "wine": wine}
    tables.update({name: measured(name) for name in ("banknote", "penguins", "acidity")})
    sizes = {"faithful": (2, 3), "iris": (3, 4), "penguins": (3,), "acidity": (2,)}
    for name, X in tables.items():
        for K in sizes.get(name, (2,)):
            yield Case(f"{name}, K {K}", "real data", X, K)


def problems(quick: bool) -> list[Case]:
    """All of them, or three."""
    if quick:
        return [*list(real())[:2], drawn(22)]
    return [*real(), *map(drawn, range(N_DRAWN))]


@contextmanager
def counted() -> Iterator[list[int]]:
    """The numbers of rows of all passes that are made inside, whoever makes them."""
    numbers: list[int] = []
    original = ArraySource.map

    def counting(self, function, size):
        numbers.append(self.n_rows)
        return original(self, function, size)

    ArraySource.map = counting
    try:
        yield numbers
    finally:
        ArraySource.map = original


def fitted(case: Case, start: str, seed: int, **rules: float) -> tuple[Fitted, float]:
    """A fit and its seconds; one that fails or collapses ends nowhere."""
    model = GaussianMixture(case.n_components, init_params=start, random_state=seed, **rules)
    begun, end = perf_counter(), -inf
    with counted() as numbers, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with suppress(ValueError):
            end = model.fit(case.X).lower_bound_
    seconds = perf_counter() - begun
    if any(issubclass(warning.category, CollapsedComponentWarning) for warning in said):
        end = -inf
    return Fitted(end, sum(numbers) / len(case.X)), seconds


def begun(case: Case, start: str) -> Begun:
    """What the start alone costs: a fit of no iteration, but for its first and last pass."""
    nothing, seconds = fitted(case, start, 0, max_iter=0)
    return Begun(nothing.passes - 2, seconds)


def share(hits: Sequence[bool]) -> str:
    return f"{np.mean(hits):.0%}" if hits else ""


def report(options: Options) -> Iterator[str]:
    """What was reached, by group; then what it cost."""
    yield LEGEND
    groups = list(dict.fromkeys(case.group for case in options.problems))
    hits: dict[str, dict[str, list[bool]]] = {s: {g: [] for g in groups} for s in STARTS}
    passes: dict[str, list[float]] = {start: [] for start in STARTS}
    costs: dict[str, list[Begun]] = {start: [] for start in STARTS}
    for case in progress(options.problems):
        seeds = {s: 1 if s == "hierarchical" else options.repeats for s in STARTS}
        fits = {s: [fitted(case, s, i, **RULES)[0] for i in range(n)] for s, n in seeds.items()}
        best = max(fit.end for own in fits.values() for fit in own)
        for start, own in fits.items():
            hits[start][case.group] += [fit.end >= best - NEAR for fit in own]
            passes[start] += [fit.passes for fit in own]
            costs[start].append(begun(case, start))
    counts = [sum(case.group == group for case in options.problems) for group in groups]
    yield section("Reached")
    head = ["start", *(f"{group} ({n})" for group, n in zip(groups, counts, strict=True)), "all"]
    every = {start: list(chain(*own.values())) for start, own in hits.items()}
    yield table(head, [[s, *map(share, own.values()), share(every[s])] for s, own in hits.items()])
    yield section("Cost")
    lines = []
    for start, own in costs.items():
        reached = sum(every[start])
        lines.append(
            [
                start,
                figure(float(np.median([cost.passes for cost in own]))),
                figure(float(np.median(passes[start]))),
                f"{sum(passes[start]) / reached if reached else nan:.0f}",
                figure(float(np.median([cost.seconds for cost in own]))),
                figure(max(cost.seconds for cost in own)),
            ]
        )
    yield table(["start", "before", "passes", "per hit", "seconds", "most"], lines)

"""Many small fits: scikit-learn's in a loop, and ours in a loop and by `fit_many`."""

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
from benchmarks.libraries import OURS, REFERENCE
from benchmarks.options import Options, progress
from benchmarks.problems import SEED
from benchmarks.table import figure, table
from benchmarks.timing import Turns, ratio, seconds
from benchmarks.workers import workers

TITLE = "Many small fits"
LIBRARIES = (REFERENCE, *OURS)
AGREE = 1e-9
LEGEND = f"""\
Fits to many data sets of the same size by scikit-learn's `GaussianMixture` and ours in a loop, and
by `fit_many`. Loops fit only the first data sets, a part of a twenty-fifth to a quarter, and their
time is multiplied accordingly. From given parameters, all make the same number of EM iterations;
*default* stands for default parameters with random_state=0, where k-means takes much of the time.
Seconds are medians, and ratios to scikit-learn are medians over the rounds. *Difference* is the
largest difference between log-likelihoods per row from given parameters; they agree up to
{AGREE:.0e}."""


@dataclass(frozen=True)
class Many:
    """Data sets of one shape, and how many of them a loop fits."""

    n_problems: int
    n_rows: int
    n_features: int
    n_components: int
    iterations: int  # 0 stands for default parameters
    in_loop: int
    columns: bool = False

    @property
    def name(self) -> str:
        """Of the shape, and of the start."""
        shape = f"{self.n_rows}x{self.n_features}, K = {self.n_components}"
        start = f"{self.iterations} iterations" if self.iterations else "default"
        return f"{self.n_problems} {'columns ' if self.columns else ''}of {shape}, {start}"


MANY = (
    Many(10_000, 500, 1, 2, 20, 500),
    Many(1_000, 500, 1, 2, 0, 100),
    Many(10_000, 150, 4, 3, 20, 500),
    Many(200, 20_000, 1, 10, 20, 8, columns=True),
    Many(20, 20_000, 1, 10, 0, 5, columns=True),
)
QUICK = (Many(200, 100, 1, 2, 5, 50), Many(10, 2_000, 1, 3, 5, 5, columns=True))


def problems(quick: bool) -> list[Many]:
    return list(QUICK if quick else MANY)


@lru_cache(maxsize=1)
def made(many: Many) -> NDArray[np.floating]:
    """The data sets, an array of three dimensions."""
    random = np.random.default_rng(SEED)
    centres = 3.0 * np.arange(many.n_components)[:, None] + random.normal(
        size=(many.n_problems, many.n_components, many.n_features)
    )
    labels = random.integers(many.n_components, size=(many.n_problems, many.n_rows))
    rows = np.take_along_axis(centres, labels[:, :, None], axis=1)
    return rows + random.normal(size=rows.shape)


def parameters(many: Many) -> dict[str, Any]:
    """Of the estimator."""
    K, D = many.n_components, many.n_features
    if not many.iterations:
        return {"n_components": K, "random_state": 0}
    return {
        "n_components": K,
        "tol": 0,
        "max_iter": many.iterations,
        "weights_init": np.full(K, 1 / K),
        "means_init": 3.0 * np.arange(K)[:, None] * np.ones(D),
        "precisions_init": np.ones((K, 1, 1)) * np.eye(D),
    }


class Turn(NamedTuple):
    """Seconds for all data sets, and log-likelihoods of those that a loop fits."""

    whole: float
    bounds: list[float]


def by_loop(estimator: Any, many: Many) -> list[Any]:
    """The fitted models, one after the other."""
    return [estimator(**parameters(many)).fit(X) for X in made(many)[: many.in_loop]]


def by_function(many: Many) -> list[Any]:
    """The fitted models of all data sets, by our function."""
    from emgmm import GaussianMixture, fit_many

    data = np.ascontiguousarray(made(many)[:, :, 0].T) if many.columns else made(many)
    return fit_many(GaussianMixture(**parameters(many)), data, columns=many.columns)


def take(name: str, many: Many, in_loop: bool) -> Turn:
    """One turn of a library."""
    estimator = libraries.load(name).estimator()  # hides numba where the library does without
    way: Callable[[], list[Any]] = partial(by_function, many)
    if in_loop:
        way = partial(by_loop, estimator, many)
    made(many)
    found: list[list[Any]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fits that max_iter ends
        taken = seconds(lambda: found.append(way()))
    times = many.n_problems / many.in_loop if in_loop else 1.0
    first = zip(found[-1], made(many)[: many.in_loop], strict=False)
    return Turn(times * taken, [model.score(X) for model, X in first])


def report(options: Options) -> Iterator[str]:
    """The paragraphs of the report."""
    lines, takers = [], {}
    with workers(options.libraries, options.threads) as staff:
        for many in progress(options.problems):
            takers = {}
            for name, worker in staff.items():
                takers[f"{name}, loop"] = partial(worker.call, take, name, many, True)
                if name in OURS:
                    takers[f"{name}, fit_many"] = partial(worker.call, take, name, many, False)
            turns = timing.take_turns(takers, options.repeats)
            lines.append([many.name, *cells(many, turns, options)])
    yield LEGEND
    yield table(["data sets", *takers, "difference"], lines)


def cells(many: Many, turns: dict[str, Turns[Turn]], options: Options) -> Iterator[str]:
    """One line of the table, but for its name."""
    first = f"{REFERENCE}, loop"
    reference, apart = turns[first].results, 0.0
    for name, turn in turns.items():
        if turn.failure:
            options.wrong.append(f"{name}: {turn.failure}")
            yield "failed"
            continue
        taken = turn.each(lambda each: each.whole)
        if many.iterations:
            own, others = np.array(turn.results[-1].bounds), np.array(reference[-1].bounds)
            apart = max(apart, float(np.abs(own - others).max()))
        beside = ratio([each.whole for each in reference], taken)
        yield figure(median(taken)) + ("" if name == first else f" ({figure(beside)}x)")
    if apart > AGREE:
        options.wrong.append(f"{many.name}: log-likelihoods differ by {apart:.0e}")
    yield f"{apart:.0e}" if many.iterations else ""

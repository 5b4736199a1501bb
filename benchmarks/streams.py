"""Streams: how near stepwise EM ends to batch EM, and what a call of `partial_fit` costs."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.libraries import OURS
from benchmarks.options import Options, progress
from benchmarks.table import table
from emgmm import GaussianMixture

TITLE = "Streams"
LIBRARIES = OURS[:1]
TYPES = ("full", "tied", "diag", "spherical")
BLOCK = 1000
WARM = 20  # calls that are not timed
LEGEND = f"""\
A stationary stream in blocks of {BLOCK} rows, and batch EM on the same rows from the same start,
with default parameters except for `tol=1e-6`. *Short* is the mean log-likelihood of batch EM minus
that at the end of the stream, in nats per row. *Expected* is the average of this difference for an
estimate from as many rows as the last step size gamma corresponds to, p gamma / (4 {BLOCK}), if the
components are well separated. *Call* is the median time of `partial_fit`, and *step* is the time of
an iteration of EM on all rows, divided by the number of blocks. Their difference is the cost of a
call that does not depend on the rows."""


class Stream(NamedTuple):
    """A stream's shape."""

    n_rows: int
    n_features: int
    n_components: int
    covariance_type: str
    apart: float  # sd of the means, in units of the components' own

    @property
    def name(self) -> str:
        """Rows, features, components, type, and how far apart."""
        size = f"{self.n_rows}x{self.n_features}x{self.n_components}"
        return f"{size}-{self.covariance_type}, {self.apart:g} sd"

    def make(self) -> tuple[NDArray[np.float64], dict[str, Any]]:
        """Rows, and a start: the components' means, each moved by a standard deviation."""
        random = np.random.default_rng(0)
        means = self.apart * random.normal(size=(self.n_components, self.n_features))
        X = random.normal(size=(self.n_rows, self.n_features))
        X += means[random.integers(self.n_components, size=self.n_rows)]
        K, D = means.shape
        unit = {"full": np.tile(np.eye(D), (K, 1, 1)), "tied": np.eye(D)}
        unit |= {"diag": np.ones((K, D)), "spherical": np.ones(K)}
        return X, {
            "n_components": K,
            "covariance_type": self.covariance_type,
            "weights_init": np.full(K, 1 / K),
            "means_init": means + random.normal(size=means.shape),
            "precisions_init": unit[self.covariance_type],
        }


def problems(quick: bool) -> list[Stream]:
    """Four types, apart and overlapping."""
    if quick:
        return [Stream(50_000, 4, 4, "full", 4.0)]
    shapes = ((4, 4, 4.0), (4, 4, 1.5), (8, 16, 4.0))
    return [Stream(1_000_000, D, K, kind, apart) for D, K, apart in shapes for kind in TYPES]


def measured(problem: Stream) -> list[str]:
    """One line of the table."""
    X, start = problem.make()
    model, seconds = GaussianMixture(**start), []
    for block in np.split(X, len(X) // BLOCK):
        begun = perf_counter()
        model.partial_fit(block)
        seconds.append(perf_counter() - begun)
    batch = GaussianMixture(**start, tol=1e-6, max_iter=1000)
    GaussianMixture(**start).set_params(max_iter=0).fit(X)  # the compiler is loaded
    begun = perf_counter()
    batch.fit(X)
    step = (perf_counter() - begun) / (batch.n_iter_ + 1) / (len(X) // BLOCK)
    gamma = (model.n_iter_ + model.learning_offset) ** -model.learning_decay
    expected = model.n_parameters() * gamma / (4 * BLOCK)
    short = batch.lower_bound_ - model.score(X)
    call = median(seconds[WARM:])
    return [
        problem.name,
        str(batch.n_iter_),
        f"{short:.5f}",
        f"{expected:.5f}",
        f"{1e3 * call:.2f}",
        f"{1e3 * step:.2f}",
        f"{BLOCK / call / 1e6:.2f}",
    ]


def report(options: Options) -> Iterator[str]:
    """The table."""
    yield LEGEND
    head = ["stream", "batch EM", "short", "expected", "call, ms", "step, ms", "1e6 rows/s"]
    yield table(head, [measured(problem) for problem in progress(options.problems)])

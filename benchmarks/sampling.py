"""Sampling: passes over all rows of a large table until EM's own optimum."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from benchmarks.libraries import OURS
from benchmarks.options import Options, progress
from benchmarks.table import figure, table
from emgmm import GaussianMixture

TITLE = "Passes over large tables"
LIBRARIES = OURS[:1]
NEAR = 1e-7  # nats per row from the optimum of EM: there
TOL = 1e-10
PLAIN = 40  # passes of plain EM that decide which optimum it reaches
LEGEND = f"""\
Fits with the default start and `tol={TOL:g}` to tables of random clusters whose nearest two means
are the given number of standard deviations apart. *EM* makes {PLAIN} plain iterations on all rows,
which determine the optimum, and continues with Anderson acceleration. *Sampling* is the default of
`sampling`. *There* is the number of passes over all rows until the log-likelihood is within
{NEAR:g} nats per row of the optimum of EM, or higher; *all* is the number of all passes, including
those of the summary, of drawing the sample and of the last two iterations. *Difference* is the
difference of the final log-likelihoods per row; positive if sampling ends higher."""


@dataclass(frozen=True)
class Case:
    """A random mixture and the number of rows that are drawn from it."""

    number: int
    n_problems: int
    n_rows: int

    @property
    def separation(self) -> float:
        """Distance of the nearest two means."""
        return 5.0 * (0.8 / 5.0) ** (self.number / max(1, self.n_problems - 1))

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of components and features."""
        return [(2, 2), (4, 8), (8, 3), (16, 2), (3, 16), (5, 4), (16, 8), (2, 12), (6, 2), (3, 3)][
            self.number
        ]

    @property
    def name(self) -> str:
        """What the problem is called."""
        K, D = self.shape
        return f"{K}, {D}, {self.separation:.1f} sd"

    def rows(self) -> NDArray[np.float64]:
        """The rows."""
        random = np.random.default_rng(7000 + self.number)
        K, D = self.shape
        means = random.normal(size=(K, D))
        distances = np.linalg.norm(means[:, None] - means, axis=2) + 1e9 * np.eye(K)
        means *= self.separation / distances.min()
        labels = random.choice(K, size=self.n_rows, p=random.dirichlet(np.full(K, 10.0)))
        factors = np.eye(D) + 0.3 * random.normal(size=(K, D, D)) / np.sqrt(D)
        X = random.normal(size=(self.n_rows, D))
        for k in range(K):
            own = labels == k
            X[own] = X[own] @ factors[k].T + means[k]
        return X


def problems(quick: bool) -> list[Case]:
    """Ten problems of four million rows, or two that are hardly large."""
    if quick:
        return [Case(number, 10, 2**20 + 1) for number in (0, 9)]
    return [Case(number, 10, 4_000_000) for number in range(10)]


def fitted(model: GaussianMixture, X: NDArray[np.float64]) -> tuple[GaussianMixture, float]:
    """The fitted model and the seconds."""
    begin = perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X)
    return model, perf_counter() - begin


def report(options: Options) -> Iterator[str]:
    """A line for each problem, and the median."""
    yield LEGEND
    lines, counts = [], []
    for case in progress(options.problems):
        X = case.rows()
        K, _ = case.shape
        common = {"tol": TOL, "random_state": 0, "max_iter": 500}
        em, before = fitted(
            GaussianMixture(K, sampling=None, **common).set_params(max_iter=PLAIN), X
        )
        em.set_params(acceleration="anderson", warm_start=True, max_iter=2000, tol=TOL / 10)
        em, after = fitted(em, X)
        sampled, seconds = fitted(GaussianMixture(K, **common), X)
        objectives, passes = sampled.history_["objective"], sampled.history_["passes"]
        near = objectives >= em.lower_bound_ - NEAR
        there = int(passes[np.argmax(near)]) if near.any() else -1
        counts.append(there if there > 0 else np.inf)
        lines.append(
            [
                case.name,
                str(there) if there > 0 else "never",
                str(passes[-1]),
                figure(seconds),
                str(PLAIN + int(em.history_["passes"][-1])),
                figure(before + after),
                f"{sampled.lower_bound_ - em.lower_bound_:.1e}",
            ]
        )
    head = ["K, D, separation", "there", "all", "seconds", "EM, all", "seconds", "difference"]
    yield table(head, lines)
    yield table(
        ["all problems", "value"],
        [["number of passes in *there*, median", figure(float(np.median(counts)))]],
    )

"""Checks of a covariance family."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from emgmm.base import fitted_mixture
from emgmm.covariances import FAMILIES, Family
from emgmm.estimator import GaussianMixture
from emgmm.mixture import Mixture
from emgmm.mstep import MStep
from emgmm.statistics import Statistics
from emgmm.testing.data import K, clusters, difference, fitted, mixture_difference, require
from emgmm.typing import Array, Integers

# Features of the rows, unless the family allows fewer.
MOST_FEATURES = 4

# Largest difference between two fits of the same model, in standard deviations. Families without a
# formula iterate until the likelihood rests, which determines half of the digits.
SAME = 1e-5


def check_family(family: Family) -> None:
    """Check that a covariance family satisfies the laws on which fits depend.

    The M-step maximizes the expected log-likelihood, and does not decrease it if it starts from
    other covariances. It depends on sums over the rows alone, so that neither the order of the rows
    nor the centres of the moments matter, a row of weight 2 is the row twice, and one of weight 0
    is no row. EM never decreases the likelihood. Fits follow a translation of the rows and, if the
    family is closed under scaling, changes of the units of features. The number of free parameters
    is the dimension of the set of covariances.

    Parameters
    ----------
    family : Family
        Family to check.

    Raises
    ------
    AssertionError
        If a law is violated.

    Examples
    --------
    >>> from emgmm.covariances import FAMILIES
    >>> from emgmm.testing import check_family
    >>> check_family(FAMILIES["VVI"])
    """
    n_features = min(MOST_FEATURES, family.most_features or MOST_FEATURES)
    X, labels = clusters(150, n_features, spread=2.0)
    _check_m_step(family, X)
    _check_sums(family, X)
    _check_n_parameters(family, X)
    # EM has something to do if it starts from labels of which every fifth is wrong.
    _check_fits(family, X, np.where(np.arange(len(X)) % 5, labels, (labels + 1) % K))


class _Sums:
    """Counts, scatters about the means and their criterion, for (n, k) responsibilities."""

    def __init__(self, family: Family, X: Array, responsibilities: Array) -> None:
        self.family = family
        self.n_features = X.shape[1]
        self.counts = responsibilities.sum(axis=0)
        means = responsibilities.T @ X / self.counts[:, None]
        deviations = X[:, None, :] - means
        self.scatters = np.einsum("nk,nki,nkj->kij", responsibilities, deviations, deviations)
        self.scatter = _statistics(family, X, responsibilities, means).scatter

    def estimate(self, before: Array | None = None, factor: float = 1.0) -> Array:
        """Covariances of the family in its public shape, from scatters times a factor."""
        scatter, counts = factor * self.scatter, self.counts.copy()
        return self.family.estimate(scatter, counts, self.n_features, before)

    def dense(self, covariances: Array) -> Array:
        return self.family.dense(covariances, len(self.counts), self.n_features)

    def criterion(self, covariances: Array) -> float:
        """Minus twice the expected log-likelihood, but for a constant."""
        dense = self.dense(covariances)
        traces = np.trace(np.linalg.solve(dense, self.scatters), axis1=1, axis2=2)
        return float(np.sum(traces + self.counts * np.linalg.slogdet(dense)[1]))


def _responsibilities(n_rows: int, seed: int, n_components: int = K) -> Array:
    """Return responsibilities that are far from equal."""
    return np.random.default_rng(seed).dirichlet(np.full(n_components, 0.5), size=n_rows)


def _statistics(family: Family, X: Array, responsibilities: Array, centres: Array) -> Statistics:
    """Compute the statistics of rows with (n, k) responsibilities about (k, D) centres."""
    deviations = X[:, None, :] - centres
    scatters = [
        np.tensordot(weights, family.structure.outer(deviations[:, k]), axes=1)
        for k, weights in enumerate(responsibilities.T)
    ]
    return Statistics(
        centres,
        responsibilities.sum(axis=0),
        np.einsum("nk,nkd->kd", responsibilities, deviations),
        family.pool(np.stack(scatters)),
        0.0,
        len(X),
    )


def _check_m_step(family: Family, X: Array) -> None:
    sums = _Sums(family, X, _responsibilities(len(X), 0))
    scatter, counts = sums.scatter.copy(), sums.counts.copy()
    best = family.estimate(sums.scatter, sums.counts, X.shape[1])
    require(
        (sums.scatter == scatter).all() and (sums.counts == counts).all(),
        f"{family}.estimate modifies its arguments.",
    )
    if family.independent:
        other_scatter = sums.scatter.copy()
        other_scatter[1:] *= 2.0
        changed = family.estimate(other_scatter, sums.counts, X.shape[1])
        require(
            np.allclose(changed[0], best[0], rtol=SAME, atol=0),
            f"{family} is declared independent, but the covariance of a component depends on the "
            "scatters of the others.",
        )
    lowest = sums.criterion(best)
    random = np.random.default_rng(1)
    for size in (1e-1, 1e-2, 1e-3):
        others = [sums.estimate(factor=1 + size), sums.estimate(factor=1 - size)]
        for _ in range(5):
            moved = _responsibilities(len(X), 0) * np.exp(size * random.normal(size=(len(X), K)))
            others.append(_Sums(family, X, moved).estimate())
        require(
            min(map(sums.criterion, others)) >= lowest - 1e-6,
            f"{family}.estimate does not maximise the expected log-likelihood: other covariances "
            "of the family near its result have a higher one.",
        )
    for seed in range(1, 6):
        before = _Sums(family, X, _responsibilities(len(X), seed)).estimate()
        found = sums.criterion(sums.estimate(family.stack(before)))
        require(
            found <= sums.criterion(before) + 1e-9 * abs(lowest),
            f"{family}.estimate decreases the expected log-likelihood of the covariances from "
            "which it starts.",
        )


def _check_sums(family: Family, X: Array) -> None:
    responsibilities, D = _responsibilities(len(X), 0), X.shape[1]
    m_step = MStep(family, 0.0, np.dtype(float))
    centres = np.random.default_rng(2).normal(size=(K, D))
    whole = m_step.maximise(_statistics(family, X, responsibilities, centres))
    first, second = (
        _statistics(family, X[part], responsibilities[part], centres)
        for part in (slice(0, 40), slice(40, None))
    )
    require(
        mixture_difference(m_step.maximise(first + second), whole) < SAME,
        f"{family} gives other covariances for the sum of the statistics of two parts of the rows "
        "than for those of all rows.",
    )
    other = m_step.maximise(_statistics(family, X, responsibilities, centres + 1.0))
    require(
        mixture_difference(other, whole) < SAME,
        f"{family} gives covariances that depend on the centres of the moments.",
    )


def _check_n_parameters(family: Family, X: Array) -> None:
    """Compare the count to the number of independent directions of small changes."""
    D = X.shape[1]
    for n_components in (1, K):
        responsibilities = _responsibilities(len(X), 0, n_components)
        before = family.stack(_Sums(family, X, responsibilities).estimate())
        random = np.random.default_rng(3)
        moves = []
        for _ in range(2 * n_components * D * (D + 1) // 2):
            change = 1e-4 * random.normal(size=(len(X), 1))
            ends = [
                _Sums(family, X, (1 + sign * change) * responsibilities) for sign in (1.0, -1.0)
            ]
            above, below = (sums.dense(sums.estimate(before)).ravel() for sums in ends)
            moves.append((above - below) / 2e-4)
        n_free = int(np.count_nonzero(np.linalg.svd(moves, compute_uv=False) > 3e-4))
        declared = family.n_covariance_parameters(n_components, D)
        require(
            n_free == declared,
            f"{family} declares {declared} free parameters for n_components={n_components} and "
            f"{D} features, but its covariances have {n_free}.",
        )


def _check_fits(family: Family, X: Array, start: Integers) -> None:
    def fit(X: Array, start: Integers, sample_weight: Any = None) -> GaussianMixture:
        return fitted(
            X,
            sample_weight,
            covariance_type=family,
            init_params=start,
            reg_covar=0,
            tol=0,
            max_iter=8,
            break_symmetry=False,
        )

    model, D = fit(X, start), X.shape[1]
    mixture = fitted_mixture(model)
    dense = mixture.dense_covariances()
    expected = family.element_shape(K, D)
    require(
        mixture.covariances.shape == expected,
        f"{family} has covariances of shape {mixture.covariances.shape}, but its element_shape is "
        f"{expected}.",
    )
    require(
        np.allclose(dense, np.swapaxes(dense, 1, 2)) and (np.linalg.eigvalsh(dense) > 0).all(),
        f"{family} has covariances that are not symmetric and positive definite.",
    )
    require(
        not family.shared or (dense == dense[0]).all(),
        f"{family} is declared as shared, but its covariances differ between components.",
    )
    objective = model.history_["objective"]
    require(
        (np.diff(objective) >= -1e-11 * np.abs(objective).max()).all(),
        f"EM with {family} decreases the likelihood.",
    )
    order = np.random.default_rng(4).permutation(len(X))
    require(
        difference(fit(X[order], start[order]), model) < SAME,
        f"A fit with {family} depends on the order of the rows.",
    )
    weights = np.arange(len(X)) % 7 % 3
    require(
        difference(fit(X, start, weights), fit(X.repeat(weights, 0), start.repeat(weights))) < SAME,
        f"A fit with {family} to rows of weight 2 and 0 differs from one to the rows repeated and "
        "left out.",
    )
    moved = fitted_mixture(fit(X + 100.0, start))
    require(
        mixture_difference(replace(moved, means=moved.means - 100.0), mixture) < SAME,
        f"A fit with {family} does not follow a translation of the rows.",
    )
    units = 10.0 ** (np.arange(D) - 2)
    changed = fitted_mixture(fit(X * units, start))
    scaled = dense * np.outer(units, units)
    expected_mixture = Mixture.of(mixture.weights, mixture.means * units, scaled, FAMILIES["full"])
    require(
        not family.closed_under_scaling or mixture_difference(changed, expected_mixture) < SAME,
        f"{family} is declared as closed under scaling, but a fit does not follow a change of the "
        "units of features.",
    )

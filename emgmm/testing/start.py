"""Checks of an initialization."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np

from emgmm.base import fitted_mixture
from emgmm.estimator import GaussianMixture
from emgmm.testing.data import K, clusters, fitted, require
from emgmm.typing import Array

# Parameters of a mixture that are compared.
PARAMETERS = ("weights_", "means_", "covariances_")


def check_start(start: Any) -> None:
    """Check that an initialization satisfies the laws on which fits depend.

    It gives a mixture from rows of both precisions, with and without missing values, also if rows
    are equal, a feature is constant or there are as many components as rows. It depends on the
    rows, the number of components and the random state that it is passed alone, and modifies
    neither the rows nor the global random numbers.

    Parameters
    ----------
    start : str or callable
        Value of `init_params`: a name, or a function of ``(X, n_components, random_state)``.

    Raises
    ------
    AssertionError
        If a law is violated.

    Examples
    --------
    >>> from emgmm.testing import check_start
    >>> check_start("k-means++")
    >>> check_start(lambda X, K, random_state: random_state.randint(K, size=len(X)))
    """
    X, _ = clusters(120, 4, spread=3.0)
    _check_mixture(start, X)
    _check_reproducible(start, X)
    for name, rows in _difficult(X).items():
        for dtype in (np.float64, np.float32):
            try:
                _begin(start, rows.astype(dtype), reg_covar=1e-3)
            except Exception as error:
                raise AssertionError(f"{start!r} gives no mixture from {name}: {error}") from error


def _begin(start: Any, X: Array, **parameters: Any) -> GaussianMixture:
    parameters = {"random_state": 0, "covariance_type": "diag", **parameters}
    return fitted(X, init_params=start, max_iter=0, **parameters)


def _difficult(X: Array) -> dict[str, Array]:
    """Rows from which a mixture is hard to make, by their description."""
    missing = np.where(np.random.default_rng(1).random(X.shape) < 0.2, np.nan, X)
    return {
        "rows with missing values": missing,
        "rows of which each is repeated": X[:8].repeat(10, axis=0),
        "rows that are all equal": np.ones((20, 4)),
        "rows with a constant feature": np.column_stack([X, np.full(len(X), 0.1)]),
        "fewer rows than features": np.random.default_rng(2).normal(size=(6, 9)),
        "as many rows as components": X[:K],
        "rows of one feature": X[:, :1],
        "rows far from zero": X + 1e6,
        "features of very different scales": X * [1e-3, 1.0, 1e3, 1e6],
    }


def _check_mixture(start: Any, X: Array) -> None:
    before = X.copy()
    for family in ("full", "tied", "diag", "spherical"):
        mixture = fitted_mixture(_begin(start, X, covariance_type=family))
        weights = mixture.weights
        require(
            (weights >= 0).all() and weights.sum() <= 1 + 1e-12,
            f"{start!r} gives weights that are not those of a mixture: {weights}.",
        )
        require(
            (np.linalg.eigvalsh(mixture.dense_covariances()) > 0).all(),
            f"{start!r} gives {family!r} covariances that are not positive definite.",
        )
    require(np.array_equal(X, before), f"{start!r} modifies the rows.")


def _check_reproducible(start: Any, X: Array) -> None:
    before = pickle.dumps(np.random.get_state())
    first, again = _begin(start, X), _begin(start, X)
    require(
        pickle.dumps(np.random.get_state()) == before,
        f"{start!r} uses the global random numbers of NumPy instead of its random_state.",
    )
    require(
        all(np.array_equal(getattr(first, name), getattr(again, name)) for name in PARAMETERS),
        f"{start!r} gives different mixtures for the same random_state.",
    )

"""Rows, fits and comparisons that the checks share."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from emgmm.base import fitted_mixture
from emgmm.estimator import GaussianMixture
from emgmm.exceptions import EMWarning
from emgmm.mixture import Mixture
from emgmm.typing import Array, Integers

# Number of clusters of the rows, and of components of the mixtures.
K = 3


def require(condition: Any, sentence: str) -> None:
    """Raise `AssertionError` with a sentence if a condition does not hold."""
    if not condition:
        raise AssertionError(sentence)


def clusters(n_rows: int, n_features: int, *, spread: float) -> tuple[Array, Integers]:
    """Return rows from clusters with random correlated covariances, and the cluster of each."""
    random = np.random.default_rng(0)
    labels = np.arange(n_rows) % K
    means = spread * random.normal(size=(K, n_features))
    factors = random.normal(size=(K, n_features, n_features)) / 2 + np.eye(n_features)
    rows = random.normal(size=(n_rows, n_features))
    return means[labels] + np.einsum("nij,nj->ni", factors[labels], rows), labels


def fitted(X: Any, sample_weight: Any = None, **parameters: Any) -> GaussianMixture:
    """Fit a mixture that need neither converge nor be sound."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", EMWarning)
        return GaussianMixture(K, **parameters).fit(X, sample_weight=sample_weight)


def difference(one: Any, other: Any) -> float:
    """Return the largest difference of the parameters of two fits, in standard deviations."""
    return mixture_difference(fitted_mixture(one), fitted_mixture(other))


def mixture_difference(one: Mixture, other: Mixture) -> float:
    """Return the largest difference of the parameters of two mixtures, in standard deviations."""
    covariances = other.dense_covariances()
    sds = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    differences = (
        one.weights - other.weights,
        (one.means - other.means) / sds,
        (one.dense_covariances() - covariances) / (sds[:, :, None] * sds[:, None, :]),
    )
    return max(float(np.abs(each).max()) for each in differences)

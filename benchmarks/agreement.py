"""Agreement: one judge of every library's result, scikit-learn's density in float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.libraries import Fitted
from benchmarks.problems import CHUNK

TOLERANCE = {"float64": 1e-9, "float32": 1e-4}  # nats per row


def log_likelihood(fitted: Fitted, X: NDArray[np.floating]) -> float:
    """Mean log-likelihood per row of a mixture, in nats; NaN if a covariance is none."""
    from sklearn.mixture import GaussianMixture

    weights, means, covariances = (np.asarray(values, dtype=np.float64) for values in fitted)
    if np.isnan(X).any():  # of which scikit-learn knows nothing
        from emgmm import GaussianMixture as Ours

        return Ours.from_parameters(weights / weights.sum(), means, covariances=covariances).score(
            X
        )
    model = GaussianMixture(len(weights), covariance_type="full")
    model.weights_, model.means_, model.covariances_ = weights, means, covariances
    try:
        factors = np.linalg.cholesky(covariances)
    except np.linalg.LinAlgError:
        return float("nan")
    model.precisions_cholesky_ = np.linalg.inv(factors).transpose(0, 2, 1)
    model.n_features_in_ = means.shape[1]
    total = 0.0
    for begin in range(0, len(X), CHUNK):
        rows = np.asarray(X[begin : begin + CHUNK], dtype=np.float64)
        total += float(model.score_samples(rows).sum())
    return total / len(X)


def tolerance(*fitted: Fitted) -> float:
    """How far their log-likelihoods may lie apart: as far as the coarsest numbers allow."""
    return max(TOLERANCE[str(np.asarray(mixture.means).dtype)] for mixture in fitted)

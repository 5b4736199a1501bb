"""Agreement: one judge of every library's result, scikit-learn's density in float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.libraries import Fitted


def log_likelihood(fitted: Fitted, X: NDArray[np.floating]) -> float:
    """Mean log-likelihood per row of a mixture, in nats."""
    from sklearn.mixture import GaussianMixture

    weights, means, covariances = (np.asarray(values, dtype=np.float64) for values in fitted)
    model = GaussianMixture(len(weights), covariance_type="full")
    model.weights_, model.means_, model.covariances_ = weights, means, covariances
    factors = np.linalg.cholesky(covariances)
    model.precisions_cholesky_ = np.linalg.inv(factors).transpose(0, 2, 1)
    model.n_features_in_ = means.shape[1]
    return float(model.score_samples(np.asarray(X, dtype=np.float64)).mean())

"""scikit-learn, the reference."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from benchmarks.covariances import dense
from benchmarks.libraries import Fitted
from benchmarks.problems import Problem, Start

DISTRIBUTION = "scikit-learn"


def available() -> bool:
    return find_spec("sklearn") is not None


def fit(problem: Problem, X: NDArray[np.floating], start: Start) -> Fitted:
    from sklearn.mixture import GaussianMixture

    model = GaussianMixture(
        problem.n_components,
        covariance_type=problem.covariance_type,
        tol=0,
        max_iter=problem.iterations,
        weights_init=start.weights,
        means_init=start.means,
        precisions_init=start.precisions,
    ).fit(X)
    covariances = dense(model.covariances_, problem.covariance_type, *model.means_.shape)
    return Fitted(model.weights_, model.means_, covariances)

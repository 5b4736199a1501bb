"""Estimators with scikit-learn's face: how they are fitted from a given start."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.covariances import dense
from benchmarks.libraries import Fitted
from benchmarks.problems import Problem, Start


def from_start(cls: Any, problem: Problem, start: Start, **options: Any) -> Any:
    """An estimator that will make the problem's number of EM iterations from its start."""
    return cls(
        problem.n_components,
        covariance_type=problem.covariance_type,
        weights_init=start.weights,
        means_init=start.means,
        precisions_init=start.precisions,
        **{
            "tol": 0,
            "reg_covar": problem.reg_covar,
            "max_iter": problem.iterations,
            **options,
        },
    )


def fit(cls: Any, problem: Problem, X: NDArray[np.floating], start: Start) -> Fitted:
    """Fit such an estimator."""
    model = from_start(cls, problem, start).fit(X)
    covariances = dense(model.covariances_, problem.covariance_type, *model.means_.shape)
    return Fitted(model.weights_, model.means_, covariances)
